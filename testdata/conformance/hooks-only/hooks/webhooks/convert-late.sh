#!/usr/bin/env bash
# C-256: a CRD that is not there yet.
if [[ $1 == "--config" ]]; then
  cat <<EOF
configVersion: v1
kubernetesCustomResourceConversion:
- name: late
  crdName: gadgets.conf.example.com
  conversions: [{fromVersion: v1alpha1, toVersion: v1}]
EOF
  exit 0
fi
jq "{convertedObjects: [.[0].review.request.objects[] | .apiVersion = \"conf.example.com/v1\"]}" "$BINDING_CONTEXT_PATH" >"$CONVERSION_RESPONSE_PATH"
