#!/usr/bin/env bash
# C-060, C-126, C-246: pods get a label that says who made them.
if [[ $1 == "--config" ]]; then
  cat <<YAML
configVersion: v1
kubernetesMutating:
- name: owner.talk.example.com
  namespace: {labelSelector: {matchLabels: {talk: "yes"}}}
  rules: [{apiGroups: [""], apiVersions: [v1], resources: [pods], operations: [CREATE], scope: Namespaced}]
YAML
else
  patch=$(jq '[{op: "add", path: "/metadata/labels", value: ((.[0].review.request.object.metadata.labels // {}) + {"made-by": .[0].review.request.userInfo.username})}]' \
    "$BINDING_CONTEXT_PATH" | tr -d ' \n' | base64 -w0)
  echo "{\"allowed\": true, \"patch\": \"$patch\"}" >"$ADMISSION_RESPONSE_PATH"
fi
