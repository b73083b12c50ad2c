#!/usr/bin/env bash
# C-180: one at a time, in order.
if [[ $1 == "--config" ]]; then
  cat <<EOF
configVersion: v1
kubernetes:
- name: fifo
  apiVersion: v1
  kind: ConfigMap
  namespace: {nameSelector: {matchNames: [conf-queues]}}
  labelSelector: {matchLabels: {conf: fifo-a}}
  jqFilter: .metadata.name
  keepFullObjectsInMemory: false
  executeHookOnSynchronization: false
  queue: fifo
EOF
  exit 0
fi
echo "begin a $(jq -r ".[0].filterResult" "$BINDING_CONTEXT_PATH")" >>"$CONFORMANCE_RECORD/fifo"
sleep 0.05
echo "end a" >>"$CONFORMANCE_RECORD/fifo"
