#!/usr/bin/env bash
# C-151: namespaces come and go; their objects are Added and Deleted.
if [[ $1 == "--config" ]]; then
  cat <<EOF
configVersion: v1
kubernetes:
- name: dynamic
  apiVersion: v1
  kind: ConfigMap
  labelSelector: {matchLabels: {conf: monitors}}
  namespace: {labelSelector: {matchLabels: {conf-monitors: "yes"}}}
  jqFilter: '.metadata.namespace + "/" + .metadata.name'
  keepFullObjectsInMemory: false
  queue: namespaces
  includeSnapshotsFrom: [dynamic]
EOF
  exit 0
fi
jq -c . "$BINDING_CONTEXT_PATH" >>"$CONFORMANCE_RECORD/namespaces"
