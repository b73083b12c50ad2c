#!/usr/bin/env bash
# C-165, C-166: while it runs, contexts of all its bindings wait, and then share a run.
if [[ $1 == "--config" ]]; then
  cat <<EOF
configVersion: v1
schedule:
- {name: tick, crontab: '@every 1s', queue: combine}
kubernetes:
- name: combine
  apiVersion: v1
  kind: ConfigMap
  namespace: {nameSelector: {matchNames: [conf-queues]}}
  labelSelector: {matchLabels: {conf: combine}}
  jqFilter: .metadata.name
  keepFullObjectsInMemory: false
  executeHookOnSynchronization: false
  queue: combine
- name: grouped
  apiVersion: v1
  kind: ConfigMap
  namespace: {nameSelector: {matchNames: [conf-queues]}}
  labelSelector: {matchLabels: {conf: combine-group}}
  jqFilter: .metadata.name
  keepFullObjectsInMemory: false
  executeHookOnSynchronization: false
  queue: combine
  group: g
EOF
  exit 0
fi
jq -c . "$BINDING_CONTEXT_PATH" >>"$CONFORMANCE_RECORD/combine"
while [[ ! -e $CONFORMANCE_RECORD/combine-go ]]; do sleep 0.02; done
