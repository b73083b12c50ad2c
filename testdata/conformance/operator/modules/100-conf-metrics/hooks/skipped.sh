#!/usr/bin/env bash
# C-221, C-222: unknown actions and contradictions are passed over.
if [[ $1 == "--config" ]]; then
  cat <<EOF
configVersion: v1
kubernetes:
- name: skipped
  apiVersion: v1
  kind: ConfigMap
  namespace: {nameSelector: {matchNames: [conf-metrics]}}
  nameSelector: {matchNames: [skipped]}
  jqFilter: .data.n
  queue: skipped
  allowFailure: true
EOF
  exit 0
fi
n=$(jq -r '.[-1].filterResult // 0' "$BINDING_CONTEXT_PATH")
cat >"$METRICS_PATH" <<EOF
{"name": "conf_skipped", "action": "multiply", "value": 1}
{"name": "conf_skipped", "value": 1}
{"name": "conf_skipped", "add": 1, "set": 1}
{"name": "conf_not_skipped", "set": 1}
EOF
