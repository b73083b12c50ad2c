#!/usr/bin/env bash
# C-050: operators of labels.
if [[ $1 == "--config" ]]; then
  cat <<EOF
configVersion: v1
kubernetes: [{kind: Pod, labelSelector: {matchExpressions: [{key: a, operator: Near}]}}]
EOF
  exit 0
fi
echo "ran: ${0##*/}" >>"$CONFORMANCE_RECORD/badconfig"
