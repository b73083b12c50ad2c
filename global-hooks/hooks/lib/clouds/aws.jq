# aws:///eu-central-1a/i-0d1c9a2b3c4d5e6f7; local zones (us-west-2-lax-1a) belong to the region before them.
select(.scheme == "aws")
| .zone = known(.zone, .path[1])
| .region = known(.region, (.zone | found("^(?<region>[a-z]+(-[a-z]+)+-[0-9]+)")))
