#!/usr/bin/env bash
# C-053, C-125, C-202: copies Secrets with the label secret-copier=yes of the namespace talk to all namespaces.
if [[ $1 == "--config" ]]; then
  cat <<YAML
configVersion: v1
kubernetes:
- name: secrets
  group: copies
  apiVersion: v1
  kind: Secret
  labelSelector: {matchLabels: {secret-copier: "yes"}}
  namespace: {nameSelector: {matchNames: [talk]}}
  queue: copier
- name: namespaces
  group: copies
  apiVersion: v1
  kind: Namespace
  jqFilter: '{name: .metadata.name, active: (.status.phase == "Active")}'
  keepFullObjectsInMemory: false
  queue: copier
YAML
else
  jq -c '.[-1].snapshots as $s | $s.namespaces[].filterResult | select(.active and .name != "talk") | .name as $namespace
    | $s.secrets[].object | {operation: "CreateOrUpdate", object: {apiVersion, kind, type, data, metadata: {name: .metadata.name, $namespace}}}' \
    "$BINDING_CONTEXT_PATH" >"$KUBERNETES_PATCH_PATH"
fi
