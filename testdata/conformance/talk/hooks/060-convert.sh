#!/usr/bin/env bash
# C-064, C-127, C-257, C-258: schedule "5 4" of v1alpha1 is {minute: 5, hour: 4} of v1.
if [[ $1 == "--config" ]]; then
  cat <<YAML
configVersion: v1
kubernetesCustomResourceConversion:
- name: alarms
  crdName: alarms.talk.example.com
  conversions:
  - {fromVersion: talk.example.com/v1alpha1, toVersion: talk.example.com/v1}
  - {fromVersion: talk.example.com/v1, toVersion: talk.example.com/v1alpha1}
YAML
elif [[ $(jq -r '.[0].toVersion' "$BINDING_CONTEXT_PATH") == */v1 ]]; then
  jq '[.[0].review.request.objects[] | .apiVersion = "talk.example.com/v1" | .spec = (.spec.schedule | split(" ") | {minute: .[0] | tonumber, hour: .[1] | tonumber})]
    | {convertedObjects: .}' "$BINDING_CONTEXT_PATH" >"$CONVERSION_RESPONSE_PATH"
else
  jq '[.[0].review.request.objects[] | .apiVersion = "talk.example.com/v1alpha1" | .spec = {schedule: "\(.spec.minute) \(.spec.hour)"}]
    | {convertedObjects: .}' "$BINDING_CONTEXT_PATH" >"$CONVERSION_RESPONSE_PATH"
fi
