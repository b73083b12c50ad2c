#!/usr/bin/env bash
# C-165: contexts of v0 hooks are never combined.
if [[ $1 == "--config" ]]; then
  cat <<EOF
onKubernetesEvent:
- kind: ConfigMap
  selector: {matchLabels: {conf: queue-v0}}
  namespaceSelector: {matchNames: [conf-queues]}
EOF
  exit 0
fi
jq -c . "$BINDING_CONTEXT_PATH" >>"$CONFORMANCE_RECORD/queue-v0"
while [[ ! -e $CONFORMANCE_RECORD/queue-v0-go ]]; do sleep 0.02; done
