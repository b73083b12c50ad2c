#!/usr/bin/env bash
# C-050: operators of fields.
if [[ $1 == "--config" ]]; then
  cat <<EOF
configVersion: v1
kubernetes: [{kind: Pod, fieldSelector: {matchExpressions: [{field: status.phase, operator: In, value: x}]}}]
EOF
  exit 0
fi
echo "ran: ${0##*/}" >>"$CONFORMANCE_RECORD/badconfig"
