#!/usr/bin/env bash
# C-165, C-166, C-185: events go to the queue of their binding and share runs.
if [[ $1 == "--config" ]]; then
  cat <<EOF
configVersion: v1
kubernetes:
- name: combine
  apiVersion: v1
  kind: ConfigMap
  namespace: {nameSelector: {matchNames: [conf-hooks]}}
  labelSelector: {matchLabels: {conf: combine}}
  jqFilter: .metadata.name
  keepFullObjectsInMemory: false
  executeHookOnSynchronization: false
  queue: combine
EOF
  exit 0
fi
jq -c . "$BINDING_CONTEXT_PATH" >>"$CONFORMANCE_RECORD/hooks-combine"
while [[ ! -e $CONFORMANCE_RECORD/hooks-combine-go ]]; do sleep 0.02; done
