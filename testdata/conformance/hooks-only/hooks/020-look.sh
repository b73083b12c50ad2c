#!/usr/bin/env bash
# C-021, C-100, C-101, C-102, C-104: what a hook finds: no arguments, its own directory, six files and no values.
if [[ $1 == "--config" ]]; then
  { pwd; env | grep -c "_PATH=/.*operator-"; } >"$CONFORMANCE_RECORD/hooks-config-environment"
  echo '{"configVersion": "v1", "onStartup": 40}'
  exit 0
fi
for name in VALUES_PATH CONFIG_VALUES_PATH BINDING_CONTEXT_PATH VALUES_JSON_PATCH_PATH CONFIG_VALUES_JSON_PATCH_PATH KUBERNETES_PATCH_PATH \
  METRICS_PATH VALIDATING_RESPONSE_PATH ADMISSION_RESPONSE_PATH CONVERSION_RESPONSE_PATH; do
  path=${!name}
  [[ -n $path ]] && jq -n --arg name $name --arg path "$path" --arg mode "$(stat -c %a "$path")" --argjson size "$(stat -c %s "$path")" \
    --argjson dir "$(stat -c %a "${path%/*}")" '{($name): {$path, $mode, $size, $dir}}'
done | jq -sc --argjson args $# --arg cwd "$PWD" '{files: add, $args, $cwd}' >>"$CONFORMANCE_RECORD/hooks-look"
