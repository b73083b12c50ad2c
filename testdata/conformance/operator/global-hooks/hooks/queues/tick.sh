#!/usr/bin/env bash
# C-190: no tick before the first convergence.
if [[ $1 == "--config" ]]; then
  cat <<EOF
configVersion: v1
schedule: [{crontab: '* * * * * *'}]
EOF
  exit 0
fi
echo tick >>"$CONFORMANCE_RECORD/first-ticks"
