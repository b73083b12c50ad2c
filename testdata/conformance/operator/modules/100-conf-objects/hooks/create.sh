#!/usr/bin/env bash
# C-200, C-202, C-203: objects are made, kept or replaced; JSON documents, the object as a map or as text.
if [[ $1 == "--config" ]]; then
  cat <<EOF
configVersion: v1
beforeHelm: 10
EOF
  exit 0
fi
cat >"$KUBERNETES_PATCH_PATH" <<'EOF'
{"operation": "Create", "object": {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "created", "namespace": "conf-objects"}, "data": {"by": "hook"}}}
{"operation": "CreateIfNotExists", "object": {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "kept", "namespace": "conf-objects"}, "data": {"by": "hook"}}} {"operation": "CreateIfNotExists", "object": {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "made-if-missing", "namespace": "conf-objects"}, "data": {"by": "hook"}}}
{"operation": "CreateOrUpdate", "object": {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "replaced", "namespace": "conf-objects"}, "data": {"by": "hook"}}}
{
  "operation": "CreateOrUpdate",
  "object": {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "made-or-updated", "namespace": "conf-objects"}, "data": {"by": "hook"}}
}
{"operation": "CreateOrUpdate", "object": "{\"apiVersion\":\"v1\",\"kind\":\"ConfigMap\",\"metadata\":{\"name\":\"from-json-text\",\"namespace\":\"conf-objects\"},\"data\":{\"by\":\"hook\"}}"}
{"operation": "CreateOrUpdate", "object": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: from-yaml-text, namespace: conf-objects}\ndata: {by: hook}\n"}
EOF
