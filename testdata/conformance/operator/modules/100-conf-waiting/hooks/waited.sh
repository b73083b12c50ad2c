#!/usr/bin/env bash
# C-187: the module waits for this Synchronization; false without a queue does not count.
if [[ $1 == "--config" ]]; then
  cat <<EOF
configVersion: v1
kubernetes:
- {name: waited, apiVersion: v1, kind: ConfigMap, nameSelector: {matchNames: [there-is-none]}, waitForSynchronization: false}
EOF
  exit 0
fi
jq -c . "$BINDING_CONTEXT_PATH" >>"$CONFORMANCE_RECORD/waited"
[[ -e $CONFORMANCE_RECORD/waited-ok ]] || exit 1
echo synchronized >>"$CONFORMANCE_RECORD/waited-order"
