#!/usr/bin/env bash
# C-222, C-227: a group is cleared by any hook; without a group the own series go.
if [[ $1 == "--config" ]]; then
  cat <<EOF
configVersion: v1
kubernetes:
- name: expire
  apiVersion: v1
  kind: ConfigMap
  namespace: {nameSelector: {matchNames: [conf-metrics]}}
  nameSelector: {matchNames: [expire]}
  jqFilter: .data.n
  queue: expire
EOF
  exit 0
fi
case $(jq -r ".[-1].filterResult" "$BINDING_CONTEXT_PATH") in
group) echo "{\"group\": \"conf-a\", \"action\": \"expire\"}" ;;
own) echo "{\"action\": \"expire\"}" ;;
*) echo "{\"name\": \"conf_own\", \"set\": 1}" ;;
esac >"$METRICS_PATH"
