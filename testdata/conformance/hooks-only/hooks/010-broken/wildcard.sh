#!/usr/bin/env bash
# C-063: * is alone in its list.
if [[ $1 == "--config" ]]; then
  cat <<EOF
configVersion: v1
kubernetesValidating:
- {name: a.conf.example.com, rules: [{apiVersions: [v1, "*"], apiGroups: [""], resources: [pods], operations: [CREATE]}]}
EOF
  exit 0
fi
echo "${0##*/}" >>"$CONFORMANCE_RECORD/hooks-broken"
