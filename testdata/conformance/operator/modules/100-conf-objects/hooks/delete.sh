#!/usr/bin/env bash
# C-200, C-202, C-204, C-205: three ways to delete, also what is not there; YAML documents, no apiVersion.
if [[ $1 == "--config" ]]; then
  cat <<EOF
configVersion: v1
beforeHelm: 20
EOF
  exit 0
fi
cat >"$KUBERNETES_PATCH_PATH" <<'EOF'
---
operation: Delete
kind: ConfigMap
namespace: conf-objects
name: deleted
---
operation: Delete
apiVersion: v1
kind: ConfigMap
namespace: conf-objects
name: never-there
---
operation: DeleteInBackground
kind: configmap
namespace: conf-objects
name: deleted-in-background
---
operation: DeleteNonCascading
apiVersion: v1
kind: ConfigMap
namespace: conf-objects
name: deleted-alone
---
operation: Delete
kind: Namespace
name: conf-objects-never-there
EOF
