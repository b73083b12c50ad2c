#!/usr/bin/env bash
# C-120, C-121, C-135: onStartup has no snapshots.
if [[ $1 == "--config" ]]; then
  cat <<EOF
configVersion: v1
kubernetes:
- name: maps
  apiVersion: v1
  kind: ConfigMap
  namespace: {nameSelector: {matchNames: [conf-contexts]}}
  nameSelector: {matchNames: [full]}
  executeHookOnSynchronization: false
  executeHookOnEvent: []
onStartup: 1
EOF
  exit 0
fi
jq -c . "$BINDING_CONTEXT_PATH" >>"$CONFORMANCE_RECORD/startup"
