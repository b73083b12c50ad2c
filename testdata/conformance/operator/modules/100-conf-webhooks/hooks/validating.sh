#!/usr/bin/env bash
# C-034, C-060, C-126, C-242, C-245, C-246: a module's policy lives and goes with the module.
if [[ $1 == "--config" ]]; then
  cat <<EOF
configVersion: v1
kubernetesValidating:
- name: module.conf.example.com
  labelSelector: {matchLabels: {conf: module-reviewed}}
  namespace: {labelSelector: {matchLabels: {conf-module-webhooks: "yes"}}}
  rules: [{apiVersions: [v1], apiGroups: [""], resources: [configmaps], operations: [CREATE]}]
EOF
  exit 0
fi
jq -c . "$BINDING_CONTEXT_PATH" >>"$CONFORMANCE_RECORD/module-validating"
echo "{\"allowed\": false, \"message\": \"$(jq -r .confWebhooks.message "$VALUES_PATH")\"}" >"$VALIDATING_RESPONSE_PATH"
