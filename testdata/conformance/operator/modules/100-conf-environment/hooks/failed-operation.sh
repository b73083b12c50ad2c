#!/usr/bin/env bash
# C-109: metrics are the last, and an operation that fails keeps them from being counted.
if [[ $1 == "--config" ]]; then
  cat <<EOF
configVersion: v1
kubernetes:
- name: failed-operation
  apiVersion: v1
  kind: ConfigMap
  nameSelector: {matchNames: [failed-operation]}
  namespace: {nameSelector: {matchNames: [conf-environment]}}
  executeHookOnSynchronization: false
  queue: failed-operation
  allowFailure: true
EOF
  exit 0
fi
echo '{"operation": "MergePatch", "apiVersion": "v1", "kind": "ConfigMap", "namespace": "conf-environment", "name": "nobody", "mergePatch": {}}' >"$KUBERNETES_PATCH_PATH"
echo '{"name": "conf_of_a_failed_operation", "set": 1}' >"$METRICS_PATH"
