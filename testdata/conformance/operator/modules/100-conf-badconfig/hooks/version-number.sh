#!/usr/bin/env bash
# C-025: configVersion is a string.
if [[ $1 == "--config" ]]; then
  cat <<EOF
configVersion: 1
onStartup: 1
EOF
  exit 0
fi
echo "ran: ${0##*/}" >>"$CONFORMANCE_RECORD/badconfig"
