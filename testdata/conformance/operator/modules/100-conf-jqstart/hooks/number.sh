#!/usr/bin/env bash
# C-144: a filter that fails on what exists keeps the binding from starting.
if [[ $1 == "--config" ]]; then
  cat <<EOF
configVersion: v1
kubernetes:
- name: number
  apiVersion: v1
  kind: ConfigMap
  namespace: {nameSelector: {matchNames: [conf-contexts]}}
  nameSelector: {matchNames: [jqstart]}
  jqFilter: .data.n | tonumber
  keepFullObjectsInMemory: false
EOF
  exit 0
fi
jq -c . "$BINDING_CONTEXT_PATH" >>"$CONFORMANCE_RECORD/jqstart"
