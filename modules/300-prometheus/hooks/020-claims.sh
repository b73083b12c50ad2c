#!/usr/bin/env bash
# Tells the chart which volume claims exist and of which class they are. A claim's class cannot change, so a volume in use
# stays what it is when the cluster gets another default class.
set -euo pipefail

if [[ "${1:-}" == "--config" ]]; then
  cat <<'CONFIG'
configVersion: v1
beforeHelm: 20
kubernetes:
  - name: claims
    apiVersion: v1
    kind: PersistentVolumeClaim
    namespace:
      nameSelector:
        matchNames: [monitoring]
    labelSelector:
      matchLabels:
        app.kubernetes.io/name: prometheus
    jqFilter: '{name: .metadata.name, class: (.spec.storageClassName // ""), going: (.metadata.deletionTimestamp != null)}'
    keepFullObjectsInMemory: false
    executeHookOnSynchronization: false
    executeHookOnEvent: []
CONFIG
  exit 0
fi

jq '[.[-1].snapshots.claims[]?.filterResult | select(.going | not) | {key: .name, value: .class}] | from_entries
    | {op: "add", path: "/prometheus/internal", value: {claims: .}}' \
  "$BINDING_CONTEXT_PATH" >>"$VALUES_JSON_PATCH_PATH"
