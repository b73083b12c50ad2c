#!/usr/bin/env bash
# C-063: unique names.
if [[ $1 == "--config" ]]; then
  cat <<EOF
configVersion: v1
kubernetesValidating:
- {name: a.conf.example.com, rules: [{apiVersions: [v1], apiGroups: [""], resources: [configmaps], operations: [CREATE]}]}
- {name: a.conf.example.com, rules: [{apiVersions: [v1], apiGroups: [""], resources: [configmaps], operations: [CREATE]}]}
EOF
  exit 0
fi
echo "${0##*/}" >>"$CONFORMANCE_RECORD/hooks-broken"
