#!/usr/bin/env bash
# C-222: what is missing is listed, and nothing counts.
if [[ $1 == "--config" ]]; then
  cat <<EOF
configVersion: v1
kubernetes:
- name: missing
  apiVersion: v1
  kind: ConfigMap
  namespace: {nameSelector: {matchNames: [conf-metrics]}}
  nameSelector: {matchNames: [missing]}
  jqFilter: .data.n
  queue: missing
  allowFailure: true
EOF
  exit 0
fi
n=$(jq -r '.[-1].filterResult // 0' "$BINDING_CONTEXT_PATH")
cat >"$METRICS_PATH" <<EOF
{"name": "conf_of_missing", "set": 1}
{"action": "set", "value": 1}
{"name": "conf_of_missing", "action": "add"}
{"name": "conf_of_missing", "action": "observe", "value": 1}
EOF
