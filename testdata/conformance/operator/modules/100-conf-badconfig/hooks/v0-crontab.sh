#!/usr/bin/env bash
# C-071, C-041: crontabs of v0 are checked too.
if [[ $1 == "--config" ]]; then
  cat <<EOF
schedule: [{crontab: "often"}]
EOF
  exit 0
fi
echo "ran: ${0##*/}" >>"$CONFORMANCE_RECORD/badconfig"
