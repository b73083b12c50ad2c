#!/usr/bin/env bash
# C-053, C-125, C-130: a group hides what happened and shows the snapshots of all its bindings.
if [[ $1 == "--config" ]]; then
  cat <<EOF
configVersion: v1
kubernetes:
- name: first
  apiVersion: v1
  kind: ConfigMap
  namespace: {nameSelector: {matchNames: [conf-contexts]}}
  nameSelector: {matchNames: [group-first]}
  jqFilter: .data.n
  keepFullObjectsInMemory: false
  group: both
  queue: group
  includeSnapshotsFrom: [other, first]
- name: second
  apiVersion: v1
  kind: ConfigMap
  namespace: {nameSelector: {matchNames: [conf-contexts]}}
  nameSelector: {matchNames: [group-second]}
  jqFilter: .data.n
  keepFullObjectsInMemory: false
  group: both
  queue: group
  executeHookOnSynchronization: false
- name: other
  apiVersion: v1
  kind: ConfigMap
  namespace: {nameSelector: {matchNames: [conf-contexts]}}
  nameSelector: {matchNames: [there-is-none]}
  executeHookOnSynchronization: false
schedule:
- {name: tick, crontab: '@every 1s', group: both, queue: group-ticks}
EOF
  exit 0
fi
jq -c . "$BINDING_CONTEXT_PATH" >>"$CONFORMANCE_RECORD/group"
