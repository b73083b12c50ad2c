#!/usr/bin/env bash
# C-001, C-036, C-081: found; of onStartup it is the second by number.
if [[ $1 == "--config" ]]; then
  cat <<EOF
{configVersion: v1, onStartup: 20}
EOF
  exit 0
fi
echo "010-first.sh" >>"$CONFORMANCE_RECORD/discovery-order"
echo "hello from a global hook"
