#!/usr/bin/env bash
# C-024, C-040: JSON.
if [[ $1 == "--config" ]]; then
  cat <<EOF
{"configVersion":"v1","onStartup":1,"schedule":[{"name":"yearly","crontab":"0 0 1 1 *","allowFailure":true,"queue":"rare","group":"all","includeSnapshotsFrom":["maps"]}],"kubernetes":[{"name":"maps","apiVersion":"v1","kind":"ConfigMap","executeHookOnSynchronization":false,"executeHookOnEvent":[],"nameSelector":{"matchNames":["none"]}}]}
EOF
  exit 0
fi
echo "json.sh" >>"$CONFORMANCE_RECORD/config"
