#!/usr/bin/env bash
# C-063: a name of three segments.
if [[ $1 == "--config" ]]; then
  cat <<EOF
configVersion: v1
kubernetesValidating:
- {name: conf.example, rules: [{apiVersions: [v1], apiGroups: [""], resources: [configmaps], operations: [CREATE]}]}
EOF
  exit 0
fi
echo "${0##*/}" >>"$CONFORMANCE_RECORD/hooks-broken"
