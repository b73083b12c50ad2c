#!/usr/bin/env bash
# C-070: unknown keys at the root of v0.
if [[ $1 == "--config" ]]; then
  cat <<EOF
onStartup: 1
kubernetes: [{kind: Pod}]
EOF
  exit 0
fi
echo "ran: ${0##*/}" >>"$CONFORMANCE_RECORD/badconfig"
