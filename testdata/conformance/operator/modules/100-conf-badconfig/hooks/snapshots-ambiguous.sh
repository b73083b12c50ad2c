#!/usr/bin/env bash
# C-052: two such bindings.
if [[ $1 == "--config" ]]; then
  cat <<EOF
configVersion: v1
schedule: [{crontab: "* * * * *", includeSnapshotsFrom: [pods]}]
kubernetes: [{name: pods, kind: Pod}, {name: pods, kind: Pod}]
EOF
  exit 0
fi
echo "ran: ${0##*/}" >>"$CONFORMANCE_RECORD/badconfig"
