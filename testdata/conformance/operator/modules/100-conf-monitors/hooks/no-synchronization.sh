#!/usr/bin/env bash
# C-154: no run for what exists, events at once.
if [[ $1 == "--config" ]]; then
  cat <<EOF
configVersion: v1
kubernetes:
- name: silent
  apiVersion: v1
  kind: ConfigMap
  namespace: {nameSelector: {matchNames: [conf-monitors]}}
  labelSelector: {matchLabels: {conf: silent}}
  jqFilter: .data.n
  keepFullObjectsInMemory: false
  executeHookOnSynchronization: false
  queue: silent
EOF
  exit 0
fi
jq -c . "$BINDING_CONTEXT_PATH" >>"$CONFORMANCE_RECORD/silent"
