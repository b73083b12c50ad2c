#!/usr/bin/env bash
# C-050, C-146: run for some events, snapshots follow all.
if [[ $1 == "--config" ]]; then
  cat <<EOF
configVersion: v1
kubernetes:
- name: events
  apiVersion: v1
  kind: ConfigMap
  namespace: {nameSelector: {matchNames: [conf-contexts]}}
  nameSelector: {matchNames: [events-1, events-2, events-3]}
  jqFilter: .metadata.name + "=" + .data.n
  keepFullObjectsInMemory: false
  executeHookOnSynchronization: false
  executeHookOnEvent: [Modified]
  watchEvent: [Added, Deleted]
  queue: events
  includeSnapshotsFrom: [events]
EOF
  exit 0
fi
jq -c . "$BINDING_CONTEXT_PATH" >>"$CONFORMANCE_RECORD/events"
