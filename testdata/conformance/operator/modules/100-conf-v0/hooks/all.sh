#!/usr/bin/env bash
# C-072, C-073, C-074, C-129: without events it gets all three; by selector, in named namespaces.
if [[ $1 == "--config" ]]; then
  cat <<EOF
configVersion: v0
onKubernetesEvent:
- name: maps
  kind: configmap
  selector: {matchLabels: {conf: v0}}
  namespaceSelector: {matchNames: [conf-v0]}
  jqFilter: .data.n
  allowFailure: true
EOF
  exit 0
fi
jq -c . "$BINDING_CONTEXT_PATH" >>"$CONFORMANCE_RECORD/v0-all"
