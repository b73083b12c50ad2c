#!/usr/bin/env bash
# C-104, C-107, C-108: fails and says why; its outputs do not count.
if [[ $1 == "--config" ]]; then
  cat <<EOF
configVersion: v1
kubernetes:
- name: stderr
  apiVersion: v1
  kind: ConfigMap
  nameSelector: {matchNames: [stderr]}
  namespace: {nameSelector: {matchNames: [conf-environment]}}
  executeHookOnSynchronization: false
  queue: stderr
  allowFailure: true
EOF
  exit 0
fi
cat >"$KUBERNETES_PATCH_PATH" <<JSON
{"operation": "Create", "object": {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "of-a-failure", "namespace": "conf-environment"}}}
JSON
echo "{\"name\": \"conf_of_a_failure\", \"set\": 1}" >"$METRICS_PATH"
echo "[{\"op\": \"add\", \"path\": \"/confEnvironment/failed\", \"value\": true}]" >"$VALUES_JSON_PATCH_PATH"
echo "the tea is cold" >&2
echo "$BINDING_CONTEXT_PATH" >>"$CONFORMANCE_RECORD/failed-files"
exit 7
