#!/usr/bin/env bash
# C-108: CONFIG_VALUES_JSON_PATCH_PATH cannot be parsed, so that nothing else counts either.
if [[ $1 == "--config" ]]; then
  cat <<EOF
configVersion: v1
kubernetes:
- name: malformed-config
  apiVersion: v1
  kind: ConfigMap
  nameSelector: {matchNames: [malformed-config]}
  namespace: {nameSelector: {matchNames: [conf-environment]}}
  executeHookOnSynchronization: false
  queue: malformed-config
  allowFailure: true
EOF
  exit 0
fi
echo '{"operation": "Create", "object": {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "of-malformed-config", "namespace": "conf-environment"}}}' >"$KUBERNETES_PATCH_PATH"
echo '{"name": "conf_of_malformed_config", "set": 1}' >"$METRICS_PATH"
echo '[{"op": "add", "path": "/confEnvironment/malformed", "value": "config"}]' >"$VALUES_JSON_PATCH_PATH"
echo '{"half": ' >>"$CONFIG_VALUES_JSON_PATCH_PATH"
