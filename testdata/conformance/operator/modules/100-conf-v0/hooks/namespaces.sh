#!/usr/bin/env bash
# C-025, C-070, C-072, C-073, C-074, C-129: the first generation.
if [[ $1 == "--config" ]]; then
  cat <<EOF
{"onKubernetesEvent": [{"kind": "namespace", "event": ["add"], "selector": {"matchLabels": {"conf": "v0"}}}]}
EOF
  exit 0
fi
jq -c . "$BINDING_CONTEXT_PATH" >>"$CONFORMANCE_RECORD/v0-namespaces"
