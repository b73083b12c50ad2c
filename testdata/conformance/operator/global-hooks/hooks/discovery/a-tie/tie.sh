#!/usr/bin/env bash
# C-001, C-081: equal numbers go by name.
if [[ $1 == "--config" ]]; then
  cat <<EOF
{configVersion: v1, onStartup: 20}
EOF
  exit 0
fi
echo "a-tie/tie.sh" >>"$CONFORMANCE_RECORD/discovery-order"
