#!/usr/bin/env bash
# C-008, C-009, C-081: order, then name; its name begins at hooks/.
if [[ $1 == "--config" ]]; then
  cat <<EOF
{configVersion: v1, onStartup: 10}
EOF
  exit 0
fi
echo "b.sh" >>"$CONFORMANCE_RECORD/discovery-module"
echo 'hello from a module hook'
