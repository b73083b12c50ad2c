#!/usr/bin/env bash
# C-168, C-183: the first of combined contexts decides whether failure is allowed.
if [[ $1 == "--config" ]]; then
  cat <<EOF
configVersion: v1
kubernetes:
- name: allowed
  apiVersion: v1
  kind: ConfigMap
  namespace: {nameSelector: {matchNames: [conf-queues]}}
  labelSelector: {matchLabels: {conf: allow-yes}}
  jqFilter: .metadata.name
  keepFullObjectsInMemory: false
  executeHookOnSynchronization: false
  queue: allow
  allowFailure: true
- name: not-allowed
  apiVersion: v1
  kind: ConfigMap
  namespace: {nameSelector: {matchNames: [conf-queues]}}
  labelSelector: {matchLabels: {conf: allow-no}}
  jqFilter: .metadata.name
  keepFullObjectsInMemory: false
  executeHookOnSynchronization: false
  queue: allow
EOF
  exit 0
fi
jq -c . "$BINDING_CONTEXT_PATH" >>"$CONFORMANCE_RECORD/allow"
while [[ ! -e $CONFORMANCE_RECORD/allow-go ]]; do sleep 0.02; done
n=$(wc -l <"$CONFORMANCE_RECORD/allow")
[[ $n == 1 || $n -ge 4 ]]
