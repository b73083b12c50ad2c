#!/usr/bin/env bash
# C-072, C-074: one object in any namespace, two kinds of events.
if [[ $1 == "--config" ]]; then
  cat <<EOF
onKubernetesEvent:
- kind: ConfigMap
  event: [update, delete]
  objectName: v0-some
  namespaceSelector: {any: true}
  comment: inner fields are not checked
EOF
  exit 0
fi
jq -c . "$BINDING_CONTEXT_PATH" >>"$CONFORMANCE_RECORD/v0-some"
