#!/usr/bin/env bash
# C-228, C-229, C-230: counters accumulate, fractions too; gauges stay; the first buckets win.
if [[ $1 == "--config" ]]; then
  cat <<EOF
configVersion: v1
kubernetes:
- name: accumulate
  apiVersion: v1
  kind: ConfigMap
  namespace: {nameSelector: {matchNames: [conf-metrics]}}
  nameSelector: {matchNames: [accumulate]}
  jqFilter: .data.n
  queue: accumulate
  allowFailure: true
EOF
  exit 0
fi
n=$(jq -r '.[-1].filterResult // 0' "$BINDING_CONTEXT_PATH")
cat >"$METRICS_PATH" <<EOF
{"name": "conf_accumulated", "add": 0.5}
{"name": "conf_stays", "set": $n, "labels": {"n": "$n"}}
{"name": "conf_buckets", "action": "observe", "value": 1, "buckets": [$((n + 1)), $((n + 2))]}
EOF
