#!/usr/bin/env bash
# C-145: no event when what the filter shows is as before; Deleted always is one.
if [[ $1 == "--config" ]]; then
  cat <<EOF
configVersion: v1
kubernetes:
- name: unchanged
  apiVersion: v1
  kind: ConfigMap
  namespace: {nameSelector: {matchNames: [conf-contexts]}}
  nameSelector: {matchNames: [unchanged]}
  jqFilter: .data.shown
  keepFullObjectsInMemory: false
  executeHookOnSynchronization: false
  queue: unchanged
EOF
  exit 0
fi
jq -c . "$BINDING_CONTEXT_PATH" >>"$CONFORMANCE_RECORD/unchanged"
