#!/usr/bin/env bash
# C-185, C-187: without modules its Synchronization runs in main, whatever its queue and waitForSynchronization say.
if [[ $1 == "--config" ]]; then
  cat <<EOF
configVersion: v1
kubernetes:
- {name: unwaited, apiVersion: v1, kind: ConfigMap, nameSelector: {matchNames: [there-is-none]}, queue: unwaited, waitForSynchronization: true}
EOF
  exit 0
fi
jq -c . "$BINDING_CONTEXT_PATH" >>"$CONFORMANCE_RECORD/hooks-unwaited"
[[ -e $CONFORMANCE_RECORD/hooks-unwaited-ok ]]
