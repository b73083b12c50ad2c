#!/usr/bin/env bash
# C-052: a list, not a string.
if [[ $1 == "--config" ]]; then
  cat <<EOF
configVersion: v1
kubernetes: [{name: pods, kind: Pod, includeSnapshotsFrom: pods}]
EOF
  exit 0
fi
echo "ran: ${0##*/}" >>"$CONFORMANCE_RECORD/badconfig"
