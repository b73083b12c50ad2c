#!/usr/bin/env bash
# C-182: tried again until it succeeds, and nobody else waits.
if [[ $1 == "--config" ]]; then
  cat <<EOF
configVersion: v1
kubernetes:
- name: retry
  apiVersion: v1
  kind: ConfigMap
  namespace: {nameSelector: {matchNames: [conf-queues]}}
  labelSelector: {matchLabels: {conf: retry}}
  jqFilter: .metadata.name
  keepFullObjectsInMemory: false
  executeHookOnSynchronization: false
  queue: retry
EOF
  exit 0
fi
jq -c . "$BINDING_CONTEXT_PATH" >>"$CONFORMANCE_RECORD/retry"
[[ -e $CONFORMANCE_RECORD/retry-ok ]]
