#!/usr/bin/env bash
# C-002: venv of a module is skipped.
if [[ $1 == "--config" ]]; then
  cat <<EOF
{configVersion: v1, onStartup: 1}
EOF
  exit 0
fi
echo "in-venv" >>"$CONFORMANCE_RECORD/discovery-module"
