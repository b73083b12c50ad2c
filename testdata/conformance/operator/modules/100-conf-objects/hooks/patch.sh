#!/usr/bin/env bash
# C-202, C-203, C-204, C-207, C-209: patches, inline and as text, of the object and of its status.
if [[ $1 == "--config" ]]; then
  cat <<EOF
configVersion: v1
beforeHelm: 30
EOF
  exit 0
fi
cat >"$KUBERNETES_PATCH_PATH" <<'EOF'
{"operation": "JQPatch", "apiVersion": "v1", "kind": "ConfigMap", "namespace": "conf-objects", "name": "jq-patched", "jqFilter": ".data.by = \"hook\" | del(.data.old)"}
{"operation": "MergePatch", "kind": "ConfigMap", "namespace": "conf-objects", "name": "merge-patched", "mergePatch": {"data": {"by": "hook", "old": null}}}
{"operation": "MergePatch", "kind": "ConfigMap", "namespace": "conf-objects", "name": "merge-patched", "mergePatch": "{\"data\": {\"json\": \"text\"}}"}
{"operation": "MergePatch", "kind": "ConfigMap", "namespace": "conf-objects", "name": "merge-patched", "mergePatch": "data:\n  yaml: text\n"}
{"operation": "JSONPatch", "kind": "ConfigMap", "namespace": "conf-objects", "name": "json-patched", "jsonPatch": [{"op": "remove", "path": "/data/old"}, {"op": "replace", "path": "/data/by", "value": "hook"}]}
{"operation": "JSONPatch", "kind": "ConfigMap", "namespace": "conf-objects", "name": "json-patched", "jsonPatch": "[{\"op\": \"add\", \"path\": \"/data/text\", \"value\": \"yes\"}]"}
{"operation": "MergePatch", "apiVersion": "conf.example.com/v1", "kind": "ConfThing", "namespace": "conf-objects", "name": "thing", "subresource": "/status", "mergePatch": {"status": {"merged": true}, "spec": {"n": 666}}}
{"operation": "JSONPatch", "apiVersion": "conf.example.com/v1", "kind": "ConfThing", "namespace": "conf-objects", "name": "thing", "subresource": "status", "jsonPatch": [{"op": "add", "path": "/status/patched", "value": true}]}
{"operation": "JQPatch", "apiVersion": "conf.example.com/v1", "kind": "ConfThing", "namespace": "conf-objects", "name": "thing", "subresource": "status", "jqFilter": ".status.filtered = .spec.n"}
{"operation": "MergePatch", "kind": "ConfigMap", "namespace": "conf-objects", "name": "never-there", "ignoreMissingObject": true, "mergePatch": {"data": {}}}
{"operation": "JSONPatch", "kind": "ConfigMap", "namespace": "conf-objects", "name": "never-there", "ignoreMissingObject": true, "jsonPatch": []}
{"operation": "JQPatch", "kind": "ConfigMap", "namespace": "conf-objects", "name": "never-there", "ignoreMissingObject": true, "ignoreHookError": true, "jqFilter": "."}
EOF
