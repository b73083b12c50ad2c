# gce://my-project/europe-west3-a/node-1
select(.scheme == "gce")
| .zone = known(.zone, .path[1])
| .region = known(.region, (.zone | found("^(?<region>.+)-[a-z]$")))
