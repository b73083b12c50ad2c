#!/usr/bin/env bash
# C-227: a group is replaced as a whole.
if [[ $1 == "--config" ]]; then
  cat <<EOF
configVersion: v1
kubernetes:
- name: group
  apiVersion: v1
  kind: ConfigMap
  namespace: {nameSelector: {matchNames: [conf-metrics]}}
  nameSelector: {matchNames: [group]}
  jqFilter: .data.n
  queue: group
  allowFailure: true
EOF
  exit 0
fi
n=$(jq -r '.[-1].filterResult // 0' "$BINDING_CONTEXT_PATH")
cat >"$METRICS_PATH" <<EOF
{"name": "conf_grouped", "group": "conf-a", "set": 1, "labels": {"n": "$n"}}
{"name": "conf_grouped", "group": "conf-b", "set": 1, "labels": {"n": "stays"}}
{"name": "conf_grouped_too", "group": "conf-a", "add": 1}
EOF
