#!/usr/bin/env bash
# C-109, C-224: operations, then metrics, whose label is the path of the hook.
if [[ $1 == "--config" ]]; then
  cat <<EOF
{configVersion: v1, onStartup: 50}
EOF
  exit 0
fi
echo '{"operation": "CreateOrUpdate", "object": {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "made-at-the-start", "namespace": "conf-hooks"}, "data": {"by": "hook"}}}' >"$KUBERNETES_PATCH_PATH"
echo '{"name": "conf_hooks_only", "add": 1}' >"$METRICS_PATH"
