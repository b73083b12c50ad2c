#!/usr/bin/env bash
# C-133: two bindings of one name; the snapshot is that of the first.
if [[ $1 == "--config" ]]; then
  cat <<EOF
configVersion: v1
beforeHelm: 3
kubernetes:
- name: twin
  apiVersion: v1
  kind: ConfigMap
  namespace: {nameSelector: {matchNames: [conf-contexts]}}
  nameSelector: {matchNames: [results-1]}
  jqFilter: .metadata.name
  keepFullObjectsInMemory: false
  executeHookOnSynchronization: false
  executeHookOnEvent: []
- name: twin
  apiVersion: v1
  kind: ConfigMap
  namespace: {nameSelector: {matchNames: [conf-contexts]}}
  nameSelector: {matchNames: [results-2]}
  jqFilter: .metadata.name
  keepFullObjectsInMemory: false
  executeHookOnSynchronization: false
  executeHookOnEvent: []
EOF
  exit 0
fi
jq -c . "$BINDING_CONTEXT_PATH" >>"$CONFORMANCE_RECORD/twins"
