#!/usr/bin/env bash
# C-110: uses some time and memory.
if [[ $1 == "--config" ]]; then
  cat <<EOF
configVersion: v1
afterHelm: 10
EOF
  exit 0
fi
for ((i = 0; i < 5000; i++)); do :; done
