#!/usr/bin/env bash
# C-050: group/version or version.
if [[ $1 == "--config" ]]; then
  cat <<EOF
configVersion: v1
kubernetes: [{kind: Pod, apiVersion: a/b/c}]
EOF
  exit 0
fi
echo "ran: ${0##*/}" >>"$CONFORMANCE_RECORD/badconfig"
