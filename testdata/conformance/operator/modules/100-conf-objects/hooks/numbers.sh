#!/usr/bin/env bash
# C-212: integers stay integers and fractions fractions.
if [[ $1 == "--config" ]]; then
  cat <<EOF
configVersion: v1
beforeHelm: 40
EOF
  exit 0
fi
cat >"$KUBERNETES_PATCH_PATH" <<'EOF'
{"operation": "CreateOrUpdate", "object": {"apiVersion": "conf.example.com/v1", "kind": "ConfThing", "metadata": {"name": "numbers", "namespace": "conf-objects"}, "spec": {"n": 9007199254740993, "zero": 0, "float": 0.5, "list": [1, 2.25]}}}
{"operation": "CreateOrUpdate", "object": {"apiVersion": "conf.example.com/v1", "kind": "ConfThing", "metadata": {"name": "numbers", "namespace": "conf-objects"}, "spec": {"n": 9007199254740993, "zero": 0, "float": 0.5, "list": [1, 2.25], "again": 3}}}
{"operation": "MergePatch", "apiVersion": "conf.example.com/v1", "kind": "ConfThing", "namespace": "conf-objects", "name": "numbers", "mergePatch": {"spec": {"merged": 9007199254740995}}}
{"operation": "JQPatch", "apiVersion": "conf.example.com/v1", "kind": "ConfThing", "namespace": "conf-objects", "name": "numbers", "jqFilter": ".spec.filtered = .spec.n + 2"}
EOF
