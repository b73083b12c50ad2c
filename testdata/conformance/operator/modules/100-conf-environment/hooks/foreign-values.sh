#!/usr/bin/env bash
# C-109: object operations come first, but a patch of values that is not allowed is found before.
if [[ $1 == "--config" ]]; then
  cat <<EOF
configVersion: v1
kubernetes:
- name: foreign-values
  apiVersion: v1
  kind: ConfigMap
  nameSelector: {matchNames: [foreign-values]}
  namespace: {nameSelector: {matchNames: [conf-environment]}}
  executeHookOnSynchronization: false
  queue: foreign-values
  allowFailure: true
EOF
  exit 0
fi
echo '{"operation": "Create", "object": {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "of-foreign-values", "namespace": "conf-environment"}}}' >"$KUBERNETES_PATCH_PATH"
echo '[{"op": "add", "path": "/confDiscovery/x", "value": 1}]' >"$VALUES_JSON_PATCH_PATH"
