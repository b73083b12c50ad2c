#!/usr/bin/env bash
# C-033: a key of global hooks.
if [[ $1 == "--config" ]]; then
  cat <<EOF
configVersion: v1
beforeAll: 1
EOF
  exit 0
fi
echo "ran: ${0##*/}" >>"$CONFORMANCE_RECORD/badconfig"
