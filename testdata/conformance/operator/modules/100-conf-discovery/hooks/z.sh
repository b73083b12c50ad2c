#!/usr/bin/env bash
# C-081: order, then name.
if [[ $1 == "--config" ]]; then
  cat <<EOF
{configVersion: v1, onStartup: 5}
EOF
  exit 0
fi
echo "z.sh" >>"$CONFORMANCE_RECORD/discovery-module"
