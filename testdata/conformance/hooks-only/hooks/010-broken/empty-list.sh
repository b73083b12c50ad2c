#!/usr/bin/env bash
# C-031: a list needs an item.
if [[ $1 == "--config" ]]; then
  cat <<EOF
configVersion: v1
kubernetesValidating: []
EOF
  exit 0
fi
echo "${0##*/}" >>"$CONFORMANCE_RECORD/hooks-broken"
