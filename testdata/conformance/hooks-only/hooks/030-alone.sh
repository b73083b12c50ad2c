#!/usr/bin/env bash
# C-153, C-167: a Synchronization without group runs alone; those of a group share a run.
if [[ $1 == "--config" ]]; then
  cat <<EOF
configVersion: v1
kubernetes:
- {name: one, apiVersion: v1, kind: ConfigMap, nameSelector: {matchNames: [there-is-none]}}
- {name: two, apiVersion: v1, kind: ConfigMap, nameSelector: {matchNames: [there-is-none]}}
- {name: three, apiVersion: v1, kind: ConfigMap, nameSelector: {matchNames: [there-is-none]}, group: g}
- {name: four, apiVersion: v1, kind: ConfigMap, nameSelector: {matchNames: [there-is-none]}, group: g}
EOF
  exit 0
fi
jq -c . "$BINDING_CONTEXT_PATH" >>"$CONFORMANCE_RECORD/hooks-alone"
