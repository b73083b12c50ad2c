#!/usr/bin/env bash
# global.discovery.nodes: how many nodes, how many of the control plane, which roles, and whether they are imitated.
#
# A role is a value of the label `dedicated` or of a taint of that key. `labelled` tells whether a nodeSelector would find
# the nodes, `tainted` whether pods need a toleration.
set -euo pipefail
source "${BASH_SOURCE[0]%/*}/lib/discovery.sh"

config() {
  cat <<'YAML'
configVersion: v1
kubernetes:
  - name: nodes
    group: nodes
    apiVersion: v1
    kind: Node
    keepFullObjectsInMemory: false
    jqFilter: |
      (.metadata.labels // {}) as $labels
      | [.spec.taints[]?] as $taints
      | {
          controlPlane: (
            ["node-role.kubernetes.io/control-plane", "node-role.kubernetes.io/master"]
            | any(. as $role | ($labels | has($role)) or any($taints[]; .key == $role))
          ),
          imitated: (.metadata.annotations // {} | has("kwok.x-k8s.io/node")),
          label: ($labels.dedicated // ""),
          taints: ([$taints[] | select(.key == "dedicated" and .effect != "PreferNoSchedule") | .value // ""] | unique)
        }
YAML
}

discovery::run nodes '
def roles:
  [.[] | . as $node | [.label, .taints[]?] | unique[] | select(. != "")
    | {role: ., labelled: ($node.label == .), tainted: (. as $role | any($node.taints[]?; . == $role))}]
  | group_by(.role)
  | map({key: .[0].role, value: {count: length, labelled: (map(select(.labelled)) | length), tainted: any(.[]; .tainted)}})
  | from_entries;
.nodes // []
| {
    count: length,
    controlPlaneCount: (map(select(.controlPlane)) | length),
    imitated: (length > 0 and all(.[]; .imitated)),
    roles: roles
  }
' "$@"
