#!/usr/bin/env bash
# C-035, C-188: at most one run in two seconds; what comes meanwhile is combined.
if [[ $1 == "--config" ]]; then
  cat <<EOF
configVersion: v1
settings: {executionMinInterval: 2s, executionBurst: 1}
kubernetes:
- name: rate
  apiVersion: v1
  kind: ConfigMap
  namespace: {nameSelector: {matchNames: [conf-queues]}}
  labelSelector: {matchLabels: {conf: rate}}
  jqFilter: .metadata.name
  keepFullObjectsInMemory: false
  executeHookOnSynchronization: false
  queue: rate
EOF
  exit 0
fi
jq -c "{names: map(.filterResult)}" "$BINDING_CONTEXT_PATH" >>"$CONFORMANCE_RECORD/rate"
