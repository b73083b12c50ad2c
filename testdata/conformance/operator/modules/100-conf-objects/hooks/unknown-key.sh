#!/usr/bin/env bash
# C-201: unknown keys are ignored; no operations at all are fine, too.
if [[ $1 == "--config" ]]; then
  cat <<EOF
configVersion: v1
kubernetes:
- name: unknown-key
  apiVersion: v1
  kind: ConfigMap
  namespace: {nameSelector: {matchNames: [conf-objects]}}
  nameSelector: {matchNames: [run-unknown-key]}
  executeHookOnSynchronization: false
  queue: unknown-key
  allowFailure: true
EOF
  exit 0
fi
cat >"$KUBERNETES_PATCH_PATH" <<'EOF'
{"operation": "CreateOrUpdate", "comment": "of no concern", "object": {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "of-unknown-key", "namespace": "conf-objects"}, "data": {"by": "hook"}}}
EOF

