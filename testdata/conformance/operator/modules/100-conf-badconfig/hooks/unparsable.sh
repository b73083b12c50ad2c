#!/usr/bin/env bash
# C-020, C-025: neither YAML nor JSON.
if [[ $1 == "--config" ]]; then
  cat <<EOF
{"configVersion": "v1", 
EOF
  exit 0
fi
echo "ran: ${0##*/}" >>"$CONFORMANCE_RECORD/badconfig"
