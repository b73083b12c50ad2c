#!/usr/bin/env bash
# C-060, C-062, C-126, C-246: defaults of all keys; a patch.
if [[ $1 == "--config" ]]; then
  cat <<EOF
configVersion: v1
kubernetesMutating:
- name: defaults.conf.example.com
  labelSelector: {matchLabels: {conf: mutated}}
  namespace: {labelSelector: {matchLabels: {conf-webhooks: "yes"}}}
  rules: [{apiVersions: [v1], apiGroups: [""], resources: [configmaps], operations: [CREATE]}]
EOF
  exit 0
fi
jq -c . "$BINDING_CONTEXT_PATH" >>"$CONFORMANCE_RECORD/mutating"
jq "{allowed: true, patch: ([{op: \"add\", path: \"/data/colour\", value: \"blue\"}] | @json | @base64)}" -n >"$ADMISSION_RESPONSE_PATH"
