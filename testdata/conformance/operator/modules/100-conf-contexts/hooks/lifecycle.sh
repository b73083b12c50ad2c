#!/usr/bin/env bash
# C-128: lifecycle bindings have all snapshots.
if [[ $1 == "--config" ]]; then
  cat <<EOF
configVersion: v1
kubernetes:
- name: names
  apiVersion: v1
  kind: ConfigMap
  namespace: {nameSelector: {matchNames: [conf-contexts]}}
  nameSelector: {matchNames: [full]}
  jqFilter: .metadata.name
  keepFullObjectsInMemory: false
  executeHookOnSynchronization: false
  executeHookOnEvent: []
- name: none
  apiVersion: v1
  kind: Secret
  nameSelector: {matchNames: [there-is-none]}
  executeHookOnSynchronization: false
beforeHelm: 1
afterHelm: 1
beforeDeleteHelm: 1
afterDeleteHelm: 1
EOF
  exit 0
fi
jq -c . "$BINDING_CONTEXT_PATH" >>"$CONFORMANCE_RECORD/lifecycle"
