#!/usr/bin/env bash
# C-002, C-003: executable, but no hook by its name or place.
if [[ $1 == "--config" ]]; then
  cat <<EOF
{configVersion: v1, onStartup: 1}
EOF
  exit 0
fi
echo ".hidden.sh" >>"$CONFORMANCE_RECORD/discovery-order"
