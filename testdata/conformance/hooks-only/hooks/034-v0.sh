#!/usr/bin/env bash
# C-070 … C-074, C-129: the first generation.
if [[ $1 == "--config" ]]; then
  cat <<EOF
{"onKubernetesEvent": [{"kind": "configmap", "event": ["add", "delete"], "namespaceSelector": {"matchNames": ["conf-hooks"]}, "selector": {"matchLabels": {"conf": "v0"}}}]}
EOF
  exit 0
fi
jq -c . "$BINDING_CONTEXT_PATH" >>"$CONFORMANCE_RECORD/hooks-v0"
