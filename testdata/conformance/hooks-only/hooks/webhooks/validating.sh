#!/usr/bin/env bash
# C-053, C-060, C-061, C-062, C-126, C-242, C-245, C-246, C-247: every key; answers as the object asks it to.
if [[ $1 == "--config" ]]; then
  cat <<EOF
configVersion: v1
kubernetes:
- name: limits
  apiVersion: v1
  kind: ConfigMap
  namespace: {nameSelector: {matchNames: [conf-webhooks]}}
  nameSelector: {matchNames: [limits]}
  jqFilter: .data.max
  keepFullObjectsInMemory: false
  executeHookOnSynchronization: false
  group: policy
kubernetesValidating:
- name: policy.conf.example.com
  group: policy
  failurePolicy: Fail
  sideEffects: NoneOnDryRun
  timeoutSeconds: 20
  matchConditions: [{name: asks, expression: 'has(object.data) && "answer" in object.data'}]
  labelSelector: {matchLabels: {conf: reviewed}}
  namespace: {labelSelector: {matchLabels: {conf-webhooks: "yes"}}}
  rules: [{apiVersions: [v1], apiGroups: [""], resources: [configmaps], operations: [CREATE, UPDATE], scope: Namespaced}]
- name: lenient.conf.example.com
  failurePolicy: Ignore
  labelSelector: {matchLabels: {conf: lenient}}
  namespace: {labelSelector: {matchLabels: {conf-webhooks: "yes"}}}
  rules: [{apiVersions: ["*"], apiGroups: [""], resources: [configmaps], operations: ["*"]}]
EOF
  exit 0
fi
name=$(jq -r ".[0].review.request.name" "$BINDING_CONTEXT_PATH")
jq -c . "$BINDING_CONTEXT_PATH" >"$CONFORMANCE_RECORD/validating-$name"
case $(jq -r ".[0].review.request.object.data.answer" "$BINDING_CONTEXT_PATH") in
yes) echo "{\"allowed\": true, \"warnings\": [\"mind the gap\"]}" >"$VALIDATING_RESPONSE_PATH" ;;
no) echo "{\"allowed\": false, \"message\": \"more than $(jq -r ".[0].snapshots.limits[0].filterResult" "$BINDING_CONTEXT_PATH")\"}" >"$ADMISSION_RESPONSE_PATH" ;;
fails) echo "the policy is on holiday" >&2; exit 1 ;;
malformed) echo "allowed: true" >"$VALIDATING_RESPONSE_PATH" ;;
nothing) ;;
meet)
  touch "$CONFORMANCE_RECORD/met-$name"
  while [[ ! -e $CONFORMANCE_RECORD/met-meet-1 || ! -e $CONFORMANCE_RECORD/met-meet-2 ]]; do sleep 0.02; done
  echo "{\"allowed\": true}" >"$VALIDATING_RESPONSE_PATH"
  ;;
effects)
  echo "{\"allowed\": true}" >"$VALIDATING_RESPONSE_PATH"
  echo "{\"name\": \"conf_reviews\", \"add\": 1}" >"$METRICS_PATH"
  echo "{\"operation\": \"CreateOrUpdate\", \"object\": {\"apiVersion\": \"v1\", \"kind\": \"ConfigMap\", \"metadata\": {\"name\": \"made-by-review\", \"namespace\": \"conf-webhooks\"}}}" >"$KUBERNETES_PATCH_PATH"
  ;;
esac
