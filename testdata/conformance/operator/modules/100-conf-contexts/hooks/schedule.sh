#!/usr/bin/env bash
# C-122, C-135: a schedule has snapshots on request.
if [[ $1 == "--config" ]]; then
  cat <<EOF
configVersion: v1
kubernetes:
- name: lean
  apiVersion: v1
  kind: ConfigMap
  namespace: {nameSelector: {matchNames: [conf-contexts]}}
  nameSelector: {matchNames: [lean]}
  jqFilter: .data.size
  keepFullObjectsInMemory: false
  executeHookOnSynchronization: false
  executeHookOnEvent: []
schedule:
- {name: with, crontab: '@every 1s', queue: schedule, includeSnapshotsFrom: [lean]}
- {name: without, crontab: '@every 1s', queue: schedule}
EOF
  exit 0
fi
jq -c . "$BINDING_CONTEXT_PATH" >>"$CONFORMANCE_RECORD/schedule"
