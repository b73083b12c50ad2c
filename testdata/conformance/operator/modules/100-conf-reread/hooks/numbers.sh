#!/usr/bin/env bash
# C-023: the configuration is read anew when the module is switched on again.
if [[ $1 == "--config" ]]; then
  cat <<EOF
configVersion: v1
onStartup: 1
EOF
  exit 0
fi
echo "one" >>"$CONFORMANCE_RECORD/reread"
