#!/usr/bin/env bash
# C-035: no duration.
if [[ $1 == "--config" ]]; then
  cat <<EOF
configVersion: v1
onStartup: 1
settings: {executionMinInterval: often, executionBurst: some}
EOF
  exit 0
fi
echo "ran: ${0##*/}" >>"$CONFORMANCE_RECORD/badconfig"
