#!/usr/bin/env bash
# C-155: a kind that comes later, and one that never does.
if [[ $1 == "--config" ]]; then
  cat <<EOF
configVersion: v1
kubernetes:
- {name: late, apiVersion: conf.example.com/v1, kind: ConfLate, jqFilter: .spec.n, keepFullObjectsInMemory: false, queue: late, includeSnapshotsFrom: [late, never]}
- {name: never, apiVersion: conf.example.com/v1, kind: ConfNever, jqFilter: .spec.n, keepFullObjectsInMemory: false, queue: late}
EOF
  exit 0
fi
jq -c . "$BINDING_CONTEXT_PATH" >>"$CONFORMANCE_RECORD/late"
