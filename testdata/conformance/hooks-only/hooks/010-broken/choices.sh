#!/usr/bin/env bash
# C-060: allowed values.
if [[ $1 == "--config" ]]; then
  cat <<EOF
configVersion: v1
kubernetesValidating:
- {name: a.conf.example.com, failurePolicy: Maybe, sideEffects: Some, timeoutSeconds: 31, namespace: {}, rules: [{apiVersions: [v1], apiGroups: [""], resources: [configmaps], operations: [CREATE]}]}
EOF
  exit 0
fi
echo "${0##*/}" >>"$CONFORMANCE_RECORD/hooks-broken"
