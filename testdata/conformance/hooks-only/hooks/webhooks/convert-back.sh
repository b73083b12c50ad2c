#!/usr/bin/env bash
# C-127, C-257: the way back, which the API server needs to answer in the version that it was asked in.
if [[ $1 == "--config" ]]; then
  cat <<EOF
configVersion: v1
kubernetesCustomResourceConversion:
- name: back
  crdName: widgets.conf.example.com
  conversions: [{fromVersion: v1, toVersion: v1beta1}, {fromVersion: v1, toVersion: v1alpha1}]
EOF
  exit 0
fi
jq '.[0].toVersion as $to | {convertedObjects: [.[0].review.request.objects[] | .apiVersion = "conf.example.com/\($to)"]}' "$BINDING_CONTEXT_PATH" >"$CONVERSION_RESPONSE_PATH"
