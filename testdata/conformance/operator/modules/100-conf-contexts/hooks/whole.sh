#!/usr/bin/env bash
# C-143: jq sees the whole object.
if [[ $1 == "--config" ]]; then
  cat <<EOF
configVersion: v1
kubernetes:
- name: whole
  apiVersion: v1
  kind: ConfigMap
  namespace: {nameSelector: {matchNames: [conf-contexts]}}
  nameSelector: {matchNames: [full]}
  jqFilter: '{managers: (.metadata.managedFields | length > 0), keys: keys}'
  keepFullObjectsInMemory: false
EOF
  exit 0
fi
jq -c . "$BINDING_CONTEXT_PATH" >>"$CONFORMANCE_RECORD/whole"
