#!/usr/bin/env bash
# C-127, C-257, C-258: the other hop, with full versions; fails as the object asks it to.
if [[ $1 == "--config" ]]; then
  cat <<EOF
configVersion: v1
kubernetesCustomResourceConversion:
- name: second
  crdName: widgets.conf.example.com
  conversions: [{fromVersion: conf.example.com/v1beta1, toVersion: conf.example.com/v1}]
EOF
  exit 0
fi
jq -c . "$BINDING_CONTEXT_PATH" >>"$CONFORMANCE_RECORD/convert-2"
case $(jq -r ".[0].review.request.objects[0].spec.fail // \"\"" "$BINDING_CONTEXT_PATH") in
message) echo "{\"failedMessage\": \"a widget of this size cannot be converted\"}" >"$CONVERSION_RESPONSE_PATH" ;;
exit) echo "out of paint" >&2; exit 1 ;;
lost) echo "{\"convertedObjects\": []}" >"$CONVERSION_RESPONSE_PATH" ;;
left) jq "{convertedObjects: .[0].review.request.objects}" "$BINDING_CONTEXT_PATH" >"$CONVERSION_RESPONSE_PATH" ;;
*) jq "{convertedObjects: [.[0].review.request.objects[] | .apiVersion = \"conf.example.com/v1\" | .spec.hops += \"2\"]}" "$BINDING_CONTEXT_PATH" >"$CONVERSION_RESPONSE_PATH" ;;
esac
