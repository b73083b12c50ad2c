#!/usr/bin/env bash
# C-191: modules of equal weight run at the same time: each waits for the other.
if [[ $1 == "--config" ]]; then
  cat <<EOF
configVersion: v1
beforeHelm: 1
EOF
  exit 0
fi
touch "$CONFORMANCE_RECORD/here-b"
while [[ ! -e $CONFORMANCE_RECORD/here-a ]]; do sleep 0.02; done
