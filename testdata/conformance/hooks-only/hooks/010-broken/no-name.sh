#!/usr/bin/env bash
# C-060: a name is required, other keys are none.
if [[ $1 == "--config" ]]; then
  cat <<EOF
configVersion: v1
kubernetesValidating:
- {queue: q, rules: [{apiVersions: [v1], apiGroups: [""], resources: [configmaps], operations: [CREATE]}]}
EOF
  exit 0
fi
echo "${0##*/}" >>"$CONFORMANCE_RECORD/hooks-broken"
