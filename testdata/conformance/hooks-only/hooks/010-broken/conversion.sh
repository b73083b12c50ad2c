#!/usr/bin/env bash
# C-064: what a conversion has.
if [[ $1 == "--config" ]]; then
  cat <<EOF
configVersion: v1
kubernetesCustomResourceConversion:
- {group: g, conversions: []}
EOF
  exit 0
fi
echo "${0##*/}" >>"$CONFORMANCE_RECORD/hooks-broken"
