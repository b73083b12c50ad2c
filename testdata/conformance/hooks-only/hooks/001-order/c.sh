#!/usr/bin/env bash
# C-006, C-080, C-185: onStartup 20; the first binding, whatever its queue.
if [[ $1 == "--config" ]]; then
  cat <<EOF
configVersion: v1
onStartup: 20
schedule: [{crontab: '* * * * * *'}]
kubernetes: [{name: maps, apiVersion: v1, kind: ConfigMap, nameSelector: {matchNames: [there-is-none]}, queue: another}]
EOF
  exit 0
fi
jq -r '.[] | "c " + .binding + " " + (.type // "")' "$BINDING_CONTEXT_PATH" >>"$CONFORMANCE_RECORD/hooks-order"
echo 'hello from the folder'
