#!/usr/bin/env bash
# C-040: no other keys.
if [[ $1 == "--config" ]]; then
  cat <<EOF
configVersion: v1
schedule: [{crontab: "* * * * *", timezone: UTC}]
EOF
  exit 0
fi
echo "ran: ${0##*/}" >>"$CONFORMANCE_RECORD/badconfig"
