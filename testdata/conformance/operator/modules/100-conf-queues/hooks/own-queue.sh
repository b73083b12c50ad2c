#!/usr/bin/env bash
# C-186, C-187: its Synchronization runs in its own queue, and nobody waits for it.
if [[ $1 == "--config" ]]; then
  cat <<EOF
configVersion: v1
kubernetes:
- {name: own, apiVersion: v1, kind: ConfigMap, nameSelector: {matchNames: [there-is-none]}, queue: own, waitForSynchronization: false}
EOF
  exit 0
fi
jq -c . "$BINDING_CONTEXT_PATH" >>"$CONFORMANCE_RECORD/own-queue"
[[ -e $CONFORMANCE_RECORD/own-queue-ok ]]
