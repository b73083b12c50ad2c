#!/usr/bin/env bash
# C-144: an event whose filter fails is dropped, the snapshot stays.
if [[ $1 == "--config" ]]; then
  cat <<EOF
configVersion: v1
kubernetes:
- name: number
  apiVersion: v1
  kind: ConfigMap
  namespace: {nameSelector: {matchNames: [conf-contexts]}}
  nameSelector: {matchNames: [number]}
  jqFilter: .data.n | tonumber
  keepFullObjectsInMemory: false
  queue: number
  includeSnapshotsFrom: [number]
EOF
  exit 0
fi
jq -c . "$BINDING_CONTEXT_PATH" >>"$CONFORMANCE_RECORD/jq-error"
