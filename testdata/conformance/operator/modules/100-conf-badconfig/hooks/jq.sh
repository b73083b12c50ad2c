#!/usr/bin/env bash
# C-050: jqFilter is compiled at load.
if [[ $1 == "--config" ]]; then
  cat <<EOF
configVersion: v1
kubernetes: [{kind: Pod, jqFilter: ".metadata |"}]
EOF
  exit 0
fi
echo "ran: ${0##*/}" >>"$CONFORMANCE_RECORD/badconfig"
