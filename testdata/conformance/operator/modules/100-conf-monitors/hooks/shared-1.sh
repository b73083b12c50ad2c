#!/usr/bin/env bash
# C-156: two hooks share one watch, and see their own.
if [[ $1 == "--config" ]]; then
  cat <<EOF
configVersion: v1
kubernetes:
- name: shared
  apiVersion: conf.example.com/v1
  kind: ConfShared
  namespace: {nameSelector: {matchNames: [conf-monitors]}}
  jqFilter: .spec.n + 1
  keepFullObjectsInMemory: false
  queue: shared
EOF
  exit 0
fi
jq -c . "$BINDING_CONTEXT_PATH" >>"$CONFORMANCE_RECORD/shared-1"
