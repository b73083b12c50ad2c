#!/usr/bin/env bash
# C-030: a version and nothing else.
if [[ $1 == "--config" ]]; then
  cat <<EOF
configVersion: v1
EOF
  exit 0
fi
echo "ran: ${0##*/}" >>"$CONFORMANCE_RECORD/badconfig"
