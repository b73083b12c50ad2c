#!/usr/bin/env bash
# C-034, C-060, C-126, C-246: a global hook changes objects.
if [[ $1 == "--config" ]]; then
  cat <<EOF
configVersion: v1
kubernetesMutating:
- name: global.conf.example.com
  labelSelector: {matchLabels: {conf: globally-mutated}}
  namespace: {labelSelector: {matchLabels: {conf-module-webhooks: "yes"}}}
  rules: [{apiVersions: [v1], apiGroups: [""], resources: [configmaps], operations: [CREATE]}]
EOF
  exit 0
fi
jq -n "{allowed: true, patch: ([{op: \"add\", path: \"/data/by\", value: \"global hook\"}] | @json | @base64)}" >"$ADMISSION_RESPONSE_PATH"
