#!/usr/bin/env bash
# C-204, C-206: what fails does not stop what follows; all errors are told.
if [[ $1 == "--config" ]]; then
  cat <<EOF
configVersion: v1
kubernetes:
- name: failing
  apiVersion: v1
  kind: ConfigMap
  namespace: {nameSelector: {matchNames: [conf-objects]}}
  nameSelector: {matchNames: [run-failing]}
  executeHookOnSynchronization: false
  queue: failing
  allowFailure: true
EOF
  exit 0
fi
cat >"$KUBERNETES_PATCH_PATH" <<'EOF'
{"operation": "Create", "object": {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "kept", "namespace": "conf-objects"}, "data": {"by": "failing"}}}
{"operation": "CreateOrUpdate", "object": {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "after-the-first-failure", "namespace": "conf-objects"}, "data": {"by": "hook"}}}
{"operation": "MergePatch", "kind": "ConfigMap", "namespace": "conf-objects", "name": "missing-1", "mergePatch": {}}
{"operation": "JSONPatch", "kind": "ConfigMap", "namespace": "conf-objects", "name": "missing-2", "jsonPatch": []}
{"operation": "JQPatch", "kind": "ConfigMap", "namespace": "conf-objects", "name": "missing-3", "jqFilter": "."}
{"operation": "CreateOrUpdate", "object": {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "after-all-failures", "namespace": "conf-objects"}, "data": {"by": "hook"}}}
EOF

