#!/usr/bin/env bash
# C-004: not executable, so skipped with a warning.
if [[ $1 == "--config" ]]; then
  cat <<EOF
{configVersion: v1, onStartup: 1}
EOF
  exit 0
fi
echo "forgotten.sh" >>"$CONFORMANCE_RECORD/discovery-order"
