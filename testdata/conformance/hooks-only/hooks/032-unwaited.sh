#!/usr/bin/env bash
# C-187: without modules nobody waits, and waitForSynchronization is of no account.
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
