#!/usr/bin/env bash
# C-007, C-009: global hooks may lie in the directory itself; its name is the path in it.
if [[ $1 == "--config" ]]; then
  cat <<EOF
{configVersion: v1, onStartup: 1}
EOF
  exit 0
fi
echo "hello from a flat directory"
touch "$CONFORMANCE_RECORD/flat-good"
