#!/usr/bin/env bash
# C-108: METRICS_PATH cannot be parsed, so that nothing else counts either.
if [[ $1 == "--config" ]]; then
  cat <<EOF
configVersion: v1
kubernetes:
- name: malformed-metrics
  apiVersion: v1
  kind: ConfigMap
  nameSelector: {matchNames: [malformed-metrics]}
  namespace: {nameSelector: {matchNames: [conf-environment]}}
  executeHookOnSynchronization: false
  queue: malformed-metrics
  allowFailure: true
EOF
  exit 0
fi
echo '{"operation": "Create", "object": {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "of-malformed-metrics", "namespace": "conf-environment"}}}' >"$KUBERNETES_PATCH_PATH"
echo '{"name": "conf_of_malformed_metrics", "set": 1}' >"$METRICS_PATH"
echo '[{"op": "add", "path": "/confEnvironment/malformed", "value": "metrics"}]' >"$VALUES_JSON_PATCH_PATH"
echo '{"half": ' >>"$METRICS_PATH"
