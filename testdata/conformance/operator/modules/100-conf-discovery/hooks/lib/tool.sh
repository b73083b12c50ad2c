#!/usr/bin/env bash
# C-002: lib is skipped.
if [[ $1 == "--config" ]]; then
  cat <<EOF
{configVersion: v1, onStartup: 1}
EOF
  exit 0
fi
echo "lib" >>"$CONFORMANCE_RECORD/discovery-module"
