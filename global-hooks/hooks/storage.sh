#!/usr/bin/env bash
# global.discovery.storage: the default storage class, "" without one.
#
# Of several classes marked as default the newest counts, then the first by name, as for Kubernetes itself. A class that is
# not marked has no filter result, so nothing that happens to it is a change.
set -euo pipefail
source "${BASH_SOURCE[0]%/*}/lib/discovery.sh"

config() {
  cat <<'YAML'
configVersion: v1
kubernetes:
  - name: classes
    group: storage
    apiVersion: storage.k8s.io/v1
    kind: StorageClass
    keepFullObjectsInMemory: false
    jqFilter: |
      if .metadata.annotations // {}
        | .["storageclass.kubernetes.io/is-default-class"] == "true"
          or .["storageclass.beta.kubernetes.io/is-default-class"] == "true"
      then {name: .metadata.name, created: .metadata.creationTimestamp}
      else null end
YAML
}

discovery::run storage '
{defaultClass: (.classes // [] | group_by(.created) | last // [] | min_by(.name) | .name // "")}
' "$@"
