#!/usr/bin/env bash
# global.discovery.cloud: provider, region and zones.
#
# The scheme of spec.providerID tells the cloud; the topology labels, else the rest of the ID, tell the place. One file in
# lib/clouds per cloud; its name is the provider's. See docs/write-a-discovery-hook.md for adding one.
set -euo pipefail
source "${BASH_SOURCE[0]%/*}/lib/discovery.sh"

config() {
  cat <<'YAML'
configVersion: v1
kubernetes:
  - name: nodes
    group: cloud
    apiVersion: v1
    kind: Node
    keepFullObjectsInMemory: false
    jqFilter: |
      (.metadata.labels // {}) as $labels
      | {
          providerID: (.spec.providerID // ""),
          region: ($labels["topology.kubernetes.io/region"] // $labels["failure-domain.beta.kubernetes.io/region"] // ""),
          zone: ($labels["topology.kubernetes.io/zone"] // $labels["failure-domain.beta.kubernetes.io/zone"] // "")
        }
YAML
}

# Prints a jq function: the alternatives of lib/clouds, each naming its provider.
clouds() {
  local file name expression
  echo 'def clouds:'
  for file in "$DISCOVERY_LIB"/clouds/*.jq; do
    name=${file##*/}
    IFS= read -r -d '' expression <"$file" || true
    printf '(\n%s\n| .provider = "%s"),\n' "$expression" "${name%.jq}"
  done
  echo 'empty;'
}

facts() {
  clouds
  cat <<'JQ'
# A node without a known cloud keeps what its labels say: racks and sites have zones too.
def located:
  (.providerID | split("://")) as [$scheme, $rest]
  | {scheme: $scheme, path: ($rest // "" | split("/")), region, zone, provider: "none"}
  | first(clouds, .);
[.nodes[]? | located]
| known(([.[] | .provider | select(. != "none")] | commonest), "none") as $provider
| ([.[] | .scheme | select(. != null and . != "") | . + "://"] | unique | join(", ")) as $schemes
| if $provider != "none" or $schemes == "" then .
  else log("info"; "no file of hooks/lib/clouds knows the providerID scheme \($schemes), so provider is none")
  end
| map(select(.provider == $provider))
| {
    provider: $provider,
    region: ([.[] | .region | select(. != "")] | commonest),
    zones: ([.[] | .zone | select(. != "")] | unique)
  }
JQ
}

discovery::run cloud "$(facts)" "$@"
