#!/usr/bin/env bash
# C-036: onStartup is a number.
if [[ $1 == "--config" ]]; then
  cat <<EOF
configVersion: v1
onStartup: early
EOF
  exit 0
fi
echo "ran: ${0##*/}" >>"$CONFORMANCE_RECORD/badconfig"
