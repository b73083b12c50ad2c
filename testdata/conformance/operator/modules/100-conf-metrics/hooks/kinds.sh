#!/usr/bin/env bash
# C-220, C-221, C-223, C-226: counters, gauges, histograms; short and long forms; several on a line.
if [[ $1 == "--config" ]]; then
  cat <<EOF
configVersion: v1
kubernetes:
- name: kinds
  apiVersion: v1
  kind: ConfigMap
  namespace: {nameSelector: {matchNames: [conf-metrics]}}
  nameSelector: {matchNames: [kinds]}
  jqFilter: .data.n
  queue: kinds
  allowFailure: true
EOF
  exit 0
fi
n=$(jq -r '.[-1].filterResult // 0' "$BINDING_CONTEXT_PATH")
cat >"$METRICS_PATH" <<EOF
{"name": "conf_counter", "action": "add", "value": 1, "labels": {"of": "long"}} {"name": "conf_counter", "add": 2, "labels": {"of": "short"}}
{"name": "conf_gauge", "action": "set", "value": -1.5, "labels": {"of": "long"}}
{"name": "conf_gauge", "set": $n, "labels": {"of": "short"}}
{"name": "conf_histogram", "action": "observe", "value": 3, "buckets": [1, 5, 10]}
{"name": "conf_reused", "set": 1}
{"name": "conf_reused", "add": 1}
{"name": "conf_after_the_reused", "set": 1}
EOF
