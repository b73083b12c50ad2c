#!/usr/bin/env bash
# C-123, C-124, C-140, C-141: whole objects, no filter, no snapshots.
if [[ $1 == "--config" ]]; then
  cat <<EOF
configVersion: v1
kubernetes:
- name: full
  apiVersion: v1
  kind: ConfigMap
  namespace: {nameSelector: {matchNames: [conf-contexts]}}
  nameSelector: {matchNames: [full]}
EOF
  exit 0
fi
jq -c . "$BINDING_CONTEXT_PATH" >>"$CONFORMANCE_RECORD/full"
