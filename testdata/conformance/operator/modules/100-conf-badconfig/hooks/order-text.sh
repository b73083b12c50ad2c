#!/usr/bin/env bash
# C-032: orders are numbers.
if [[ $1 == "--config" ]]; then
  cat <<EOF
configVersion: v1
beforeHelm: ten
EOF
  exit 0
fi
echo "ran: ${0##*/}" >>"$CONFORMANCE_RECORD/badconfig"
