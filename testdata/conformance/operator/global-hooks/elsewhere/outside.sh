#!/usr/bin/env bash
# C-001, C-004: outside of the hooks directory; reached by a link to the file, not by one to its directory.
if [[ $1 == "--config" ]]; then
  cat <<EOF
{configVersion: v1, onStartup: 40}
EOF
  exit 0
fi
echo "linked ${0##*/}" >>"$CONFORMANCE_RECORD/discovery-order"
