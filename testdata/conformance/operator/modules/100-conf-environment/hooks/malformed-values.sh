#!/usr/bin/env bash
# C-108: VALUES_JSON_PATCH_PATH cannot be parsed, so that nothing else counts either.
if [[ $1 == "--config" ]]; then
  cat <<EOF
configVersion: v1
kubernetes:
- name: malformed-values
  apiVersion: v1
  kind: ConfigMap
  nameSelector: {matchNames: [malformed-values]}
  namespace: {nameSelector: {matchNames: [conf-environment]}}
  executeHookOnSynchronization: false
  queue: malformed-values
  allowFailure: true
EOF
  exit 0
fi
echo '{"operation": "Create", "object": {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "of-malformed-values", "namespace": "conf-environment"}}}' >"$KUBERNETES_PATCH_PATH"
echo '{"name": "conf_of_malformed_values", "set": 1}' >"$METRICS_PATH"
echo '[{"op": "add", "path": "/confEnvironment/malformed", "value": "values"}]' >"$VALUES_JSON_PATCH_PATH"
echo '{"half": ' >>"$VALUES_JSON_PATCH_PATH"
