#!/usr/bin/env bash
# C-201: one invalid document, and nothing of the file is done; all violations are listed.
if [[ $1 == "--config" ]]; then
  cat <<EOF
configVersion: v1
kubernetes:
- name: invalid
  apiVersion: v1
  kind: ConfigMap
  namespace: {nameSelector: {matchNames: [conf-objects]}}
  nameSelector: {matchNames: [run-invalid]}
  executeHookOnSynchronization: false
  queue: invalid
  allowFailure: true
EOF
  exit 0
fi
cat >"$KUBERNETES_PATCH_PATH" <<'EOF'
{"operation": "CreateOrUpdate", "object": {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "of-invalid", "namespace": "conf-objects"}, "data": {"by": "hook"}}}
{"operation": "create", "object": {}}
{"object": {}}
{"operation": "Delete", "kind": "ConfigMap"}
{"operation": "JQPatch", "kind": "ConfigMap", "name": "x"}
{"operation": "MergePatch", "kind": "ConfigMap", "name": "x", "mergePatch": 7}
EOF

