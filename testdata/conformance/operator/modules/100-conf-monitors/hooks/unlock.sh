#!/usr/bin/env bash
# C-153: events wait for the success of Synchronization.
if [[ $1 == "--config" ]]; then
  cat <<EOF
configVersion: v1
kubernetes:
- name: locked
  apiVersion: v1
  kind: ConfigMap
  namespace: {nameSelector: {matchNames: [conf-monitors]}}
  labelSelector: {matchLabels: {conf: locked}}
  jqFilter: .data.n
  keepFullObjectsInMemory: false
  queue: locked
  waitForSynchronization: false
EOF
  exit 0
fi
jq -c . "$BINDING_CONTEXT_PATH" >>"$CONFORMANCE_RECORD/locked"
while [[ ! -e $CONFORMANCE_RECORD/locked-go ]]; do sleep 0.02; done
[[ $(wc -l <"$CONFORMANCE_RECORD/locked") -gt 1 ]] # the first run fails
