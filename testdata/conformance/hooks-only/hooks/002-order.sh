#!/usr/bin/env bash
# C-080, C-185: onStartup 10 comes before 20.
if [[ $1 == "--config" ]]; then
  cat <<EOF
configVersion: v1
onStartup: 10
kubernetes: [{name: maps, apiVersion: v1, kind: ConfigMap, nameSelector: {matchNames: [there-is-none]}}]
EOF
  exit 0
fi
jq -r '.[] | "002 " + .binding + " " + (.type // "")' "$BINDING_CONTEXT_PATH" >>"$CONFORMANCE_RECORD/hooks-order"
