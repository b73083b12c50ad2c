#!/usr/bin/env bash
# C-108: KUBERNETES_PATCH_PATH cannot be parsed, so that nothing else counts either.
if [[ $1 == "--config" ]]; then
  cat <<EOF
configVersion: v1
kubernetes:
- name: malformed-operations
  apiVersion: v1
  kind: ConfigMap
  nameSelector: {matchNames: [malformed-operations]}
  namespace: {nameSelector: {matchNames: [conf-environment]}}
  executeHookOnSynchronization: false
  queue: malformed-operations
  allowFailure: true
EOF
  exit 0
fi
echo '{"operation": "Create", "object": {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "of-malformed-operations", "namespace": "conf-environment"}}}' >"$KUBERNETES_PATCH_PATH"
echo '{"name": "conf_of_malformed_operations", "set": 1}' >"$METRICS_PATH"
echo '[{"op": "add", "path": "/confEnvironment/malformed", "value": "operations"}]' >"$VALUES_JSON_PATCH_PATH"
echo '{"half": ' >>"$KUBERNETES_PATCH_PATH"
