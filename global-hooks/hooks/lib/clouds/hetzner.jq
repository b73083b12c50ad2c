# hcloud://<server id> for cloud servers, hrobot://<server number> for dedicated ones.
select(.scheme == "hcloud" or .scheme == "hrobot")
| .region = known(.region, (.zone | found("^(?<region>[a-z]+[0-9]*)-")))
