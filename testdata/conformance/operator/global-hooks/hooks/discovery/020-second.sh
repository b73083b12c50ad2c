#!/usr/bin/env bash
# C-001, C-036: number 10 comes before 20 whatever the path.
if [[ $1 == "--config" ]]; then
  cat <<EOF
{configVersion: v1, onStartup: 10}
EOF
  exit 0
fi
echo "020-second.sh" >>"$CONFORMANCE_RECORD/discovery-order"
