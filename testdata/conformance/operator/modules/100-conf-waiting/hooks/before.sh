#!/usr/bin/env bash
# C-187: comes after the Synchronization.
if [[ $1 == "--config" ]]; then
  cat <<EOF
configVersion: v1
beforeHelm: 1
EOF
  exit 0
fi
echo beforeHelm >>"$CONFORMANCE_RECORD/waited-order"
