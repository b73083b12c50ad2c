#!/usr/bin/env bash
# C-041: the second of two is bad.
if [[ $1 == "--config" ]]; then
  cat <<EOF
configVersion: v1
schedule: [{crontab: "* * * * *"}, {crontab: "61 * * * *"}]
EOF
  exit 0
fi
echo "ran: ${0##*/}" >>"$CONFORMANCE_RECORD/badconfig"
