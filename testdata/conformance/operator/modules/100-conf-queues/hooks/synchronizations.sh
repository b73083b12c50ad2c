#!/usr/bin/env bash
# C-167: Synchronizations of a hook combine when both or neither are waited for.
if [[ $1 == "--config" ]]; then
  cat <<EOF
configVersion: v1
kubernetes:
- {name: one, apiVersion: v1, kind: ConfigMap, nameSelector: {matchNames: [there-is-none]}, queue: synchronizations}
- {name: two, apiVersion: v1, kind: ConfigMap, nameSelector: {matchNames: [there-is-none]}, queue: synchronizations}
- {name: three, apiVersion: v1, kind: ConfigMap, nameSelector: {matchNames: [there-is-none]}, queue: synchronizations, waitForSynchronization: false}
- {name: four, apiVersion: v1, kind: ConfigMap, nameSelector: {matchNames: [there-is-none]}, queue: synchronizations, waitForSynchronization: false}
EOF
  exit 0
fi
jq -c . "$BINDING_CONTEXT_PATH" >>"$CONFORMANCE_RECORD/synchronizations"
