#!/usr/bin/env bash
# C-050: mode is not a key any more.
if [[ $1 == "--config" ]]; then
  cat <<EOF
configVersion: v1
kubernetes: [{kind: Pod, mode: Snapshot}]
EOF
  exit 0
fi
echo "ran: ${0##*/}" >>"$CONFORMANCE_RECORD/badconfig"
