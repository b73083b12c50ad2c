#!/usr/bin/env bash
# C-147: coming under the selector is Added, leaving it Deleted.
if [[ $1 == "--config" ]]; then
  cat <<EOF
configVersion: v1
kubernetes:
- name: selected
  apiVersion: v1
  kind: ConfigMap
  namespace: {nameSelector: {matchNames: [conf-contexts]}}
  labelSelector: {matchLabels: {conf: selected}}
  jqFilter: .data.n
  keepFullObjectsInMemory: false
  executeHookOnSynchronization: false
  queue: selected
EOF
  exit 0
fi
jq -c . "$BINDING_CONTEXT_PATH" >>"$CONFORMANCE_RECORD/selected"
