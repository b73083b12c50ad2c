#!/usr/bin/env bash
# C-060, C-126, C-246: images of pods come from our registry.
if [[ $1 == "--config" ]]; then
  cat <<YAML
configVersion: v1
kubernetesValidating:
- name: images.talk.example.com
  namespace: {labelSelector: {matchLabels: {talk: "yes"}}}
  rules: [{apiGroups: [""], apiVersions: [v1], resources: [pods], operations: [CREATE, UPDATE], scope: Namespaced}]
YAML
else
  jq '[.[0].review.request.object.spec.containers[].image | select(startswith("registry.example.com/") | not)]
    | if . == [] then {allowed: true} else {allowed: false, message: "not from registry.example.com: \(join(", "))"} end' \
    "$BINDING_CONTEXT_PATH" >"$VALIDATING_RESPONSE_PATH"
fi
