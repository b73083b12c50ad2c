#!/usr/bin/env bash
# C-124, C-130, C-131, C-140: objects, filter results and snapshots of its own.
if [[ $1 == "--config" ]]; then
  cat <<EOF
configVersion: v1
kubernetes:
- name: filtered
  apiVersion: v1
  kind: ConfigMap
  namespace: {nameSelector: {matchNames: [conf-contexts]}}
  nameSelector: {matchNames: [filtered]}
  jqFilter: .data.colour
  includeSnapshotsFrom: [filtered]
EOF
  exit 0
fi
jq -c . "$BINDING_CONTEXT_PATH" >>"$CONFORMANCE_RECORD/filtered"
