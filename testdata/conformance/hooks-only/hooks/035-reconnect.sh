#!/usr/bin/env bash
# C-148: what it knows is no news when the connection to the API server was lost.
if [[ $1 == "--config" ]]; then
  cat <<EOF
configVersion: v1
kubernetes:
- name: reconnect
  apiVersion: v1
  kind: ConfigMap
  namespace: {nameSelector: {matchNames: [conf-hooks]}}
  labelSelector: {matchLabels: {conf: reconnect}}
  jqFilter: "{name: .metadata.name, n: .data.n}"
  keepFullObjectsInMemory: false
  queue: reconnect
EOF
  exit 0
fi
jq -c . "$BINDING_CONTEXT_PATH" >>"$CONFORMANCE_RECORD/hooks-reconnect"
