#!/usr/bin/env bash
# C-184, C-192: a named queue is one for all modules; what a module leaves in it goes with the module.
if [[ $1 == "--config" ]]; then
  cat <<EOF
configVersion: v1
kubernetes:
- name: shared
  apiVersion: v1
  kind: ConfigMap
  namespace: {nameSelector: {matchNames: [conf-queues]}}
  labelSelector: {matchLabels: {conf: shared}}
  jqFilter: .metadata.name
  keepFullObjectsInMemory: false
  executeHookOnSynchronization: false
  queue: common
EOF
  exit 0
fi
jq -c . "$BINDING_CONTEXT_PATH" >>"$CONFORMANCE_RECORD/shared-neighbour"
while [[ ! -e $CONFORMANCE_RECORD/shared-neighbour-go ]]; do sleep 0.02; done
