#!/usr/bin/env bash
# C-208: ignoreHookError does not make the operations of a failed executable count.
if [[ $1 == "--config" ]]; then
  cat <<EOF
configVersion: v1
kubernetes:
- name: ignored-error
  apiVersion: v1
  kind: ConfigMap
  namespace: {nameSelector: {matchNames: [conf-objects]}}
  nameSelector: {matchNames: [run-ignored-error]}
  executeHookOnSynchronization: false
  queue: ignored-error
  allowFailure: true
EOF
  exit 0
fi
cat >"$KUBERNETES_PATCH_PATH" <<'EOF'
{"operation": "MergePatch", "apiVersion": "conf.example.com/v1", "kind": "ConfThing", "namespace": "conf-objects", "name": "thing", "subresource": "/status", "ignoreHookError": true, "mergePatch": {"status": {"ignored": true}}}
EOF
echo "failed all the same" >&2
exit 1
