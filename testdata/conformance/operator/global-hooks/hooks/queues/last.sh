#!/usr/bin/env bash
# C-190: the end of the first convergence.
if [[ $1 == "--config" ]]; then
  cat <<EOF
configVersion: v1
afterAll: 1
EOF
  exit 0
fi
echo afterAll >>"$CONFORMANCE_RECORD/first-ticks"
