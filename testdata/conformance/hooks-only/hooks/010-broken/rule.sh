#!/usr/bin/env bash
# C-061: what a rule has.
if [[ $1 == "--config" ]]; then
  cat <<EOF
configVersion: v1
kubernetesValidating:
- {name: a.conf.example.com, rules: [{resources: [pods], operations: [create], scope: World}]}
EOF
  exit 0
fi
echo "${0##*/}" >>"$CONFORMANCE_RECORD/hooks-broken"
