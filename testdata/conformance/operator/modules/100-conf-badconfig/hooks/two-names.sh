#!/usr/bin/env bash
# C-051: two ways to give the name.
if [[ $1 == "--config" ]]; then
  cat <<EOF
configVersion: v1
kubernetes:
- kind: Pod
  nameSelector: {matchNames: [a]}
  fieldSelector: {matchExpressions: [{field: metadata.name, operator: "=", value: a}]}
EOF
  exit 0
fi
echo "ran: ${0##*/}" >>"$CONFORMANCE_RECORD/badconfig"
