#!/usr/bin/env bash
# C-224, C-225: own labels win; label sets are united.
if [[ $1 == "--config" ]]; then
  cat <<EOF
configVersion: v1
kubernetes:
- name: labels
  apiVersion: v1
  kind: ConfigMap
  namespace: {nameSelector: {matchNames: [conf-metrics]}}
  nameSelector: {matchNames: [labels]}
  jqFilter: .data.n
  queue: labels
  allowFailure: true
EOF
  exit 0
fi
n=$(jq -r '.[-1].filterResult // 0' "$BINDING_CONTEXT_PATH")
cat >"$METRICS_PATH" <<EOF
{"name": "conf_labels", "set": 1, "labels": {"hook": "mine", "module": "mine", "a": "x"}}
{"name": "conf_labels", "set": 2, "labels": {"b": "y"}}
EOF
