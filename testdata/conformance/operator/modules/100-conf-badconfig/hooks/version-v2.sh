#!/usr/bin/env bash
# C-025: no such version.
if [[ $1 == "--config" ]]; then
  cat <<EOF
configVersion: v2
onStartup: 1
EOF
  exit 0
fi
echo "ran: ${0##*/}" >>"$CONFORMANCE_RECORD/badconfig"
