#!/usr/bin/env bash
# C-027: all violations at once.
if [[ $1 == "--config" ]]; then
  cat <<EOF
configVersion: v1
onStart: 1
kubernetes:
- apiVersion: v1
  executeHookOnEvent: [Appeared]
EOF
  exit 0
fi
echo "ran: ${0##*/}" >>"$CONFORMANCE_RECORD/badconfig"
