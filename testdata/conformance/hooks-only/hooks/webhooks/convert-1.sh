#!/usr/bin/env bash
# C-064, C-127, C-257: one hop, with short versions; hands on what it need not convert.
if [[ $1 == "--config" ]]; then
  cat <<EOF
configVersion: v1
kubernetesCustomResourceConversion:
- name: first
  crdName: widgets.conf.example.com
  conversions: [{fromVersion: v1alpha1, toVersion: v1beta1}]
EOF
  exit 0
fi
jq -c . "$BINDING_CONTEXT_PATH" >>"$CONFORMANCE_RECORD/convert-1"
jq "{convertedObjects: [.[0].review.request.objects[] | if .apiVersion == \"conf.example.com/v1alpha1\" then .apiVersion = \"conf.example.com/v1beta1\" | .spec.hops = \"1\" else . end]}" \
  "$BINDING_CONTEXT_PATH" >"$CONVERSION_RESPONSE_PATH"
