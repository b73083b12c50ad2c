#!/usr/bin/env bash
# C-021, C-024, C-035, C-041, C-050: YAML with every key; what else is printed, on stderr, does not matter.
if [[ $1 == "--config" ]]; then
  echo "reading the configuration" >&2
  { pwd; env | grep -c "_PATH=/.*operator-" ; } >"$CONFORMANCE_RECORD/config-environment"
  cat <<EOF
configVersion: v1
onStartup: 2
beforeHelm: 2.5
afterHelm: 3
beforeDeleteHelm: 4
afterDeleteHelm: 5
settings: {executionMinInterval: 10ms, executionBurst: "5"}
schedule:
- {name: five, crontab: "0 0 1 1 *"}
- {name: six, crontab: "0 0 0 1 1 *"}
- {name: zone, crontab: "TZ=Europe/Berlin 0 0 1 1 *"}
- {name: every, crontab: "@every 2h"}
- {name: hourly, crontab: "@hourly"}
- {name: daily, crontab: "@daily"}
- {name: weekly, crontab: "@weekly"}
- {name: monthly, crontab: "@monthly"}
- {name: yearly, crontab: "@yearly"}
kubernetes:
- name: maps
  apiVersion: v1
  kind: ConfigMap
  executeHookOnEvent: [Added]
  watchEvent: [Added, Modified, Deleted]
  executeHookOnSynchronization: false
  waitForSynchronization: false
  keepFullObjectsInMemory: false
  nameSelector: {matchNames: [none]}
  labelSelector: {matchLabels: {a: b}, matchExpressions: [{key: c, operator: Exists}]}
  fieldSelector: {matchExpressions: [{field: metadata.namespace, operator: NotEquals, value: kube-system}]}
  namespace: {nameSelector: {matchNames: [default]}, labelSelector: {matchLabels: {a: b}}}
  jqFilter: .data
  includeSnapshotsFrom: [maps]
  allowFailure: true
  queue: rare
  group: g
  resynchronizationPeriod: 1h
EOF
  exit 0
fi
echo "yaml.sh" >>"$CONFORMANCE_RECORD/config"
