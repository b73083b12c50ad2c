#!/usr/bin/env bash
# C-040, C-041, C-122: a crontab of six fields, the first of them seconds.
if [[ $1 == "--config" ]]; then
  cat <<YAML
configVersion: v1
schedule:
- name: every second
  crontab: "* * * * * *"
  queue: heartbeat
YAML
else
  beats=$(kubectl -n talk get configmap heartbeat -o jsonpath='{.data.beats}' 2>/dev/null)
  jq -n --arg beats $((beats + 1)) '{operation: "CreateOrUpdate", object: {apiVersion: "v1", kind: "ConfigMap",
    metadata: {name: "heartbeat", namespace: "talk"}, data: {$beats}}}' >"$KUBERNETES_PATCH_PATH"
fi
