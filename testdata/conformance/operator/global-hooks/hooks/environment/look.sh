#!/usr/bin/env bash
# C-021, C-100, C-101, C-102, C-106: what a global hook finds.
if [[ $1 == "--config" ]]; then
  cat <<EOF
configVersion: v1
beforeAll: 5
EOF
  exit 0
fi
# One line of JSON on how the hook was started and what its files hold.
look() {
  for name in VALUES_PATH CONFIG_VALUES_PATH BINDING_CONTEXT_PATH VALUES_JSON_PATCH_PATH CONFIG_VALUES_JSON_PATCH_PATH \
    KUBERNETES_PATCH_PATH METRICS_PATH MODULE_ENABLED_RESULT MODULE_ENABLED_REASON; do
    path=${!name}
    [[ -n $path ]] && jq -n --arg name $name --arg path "$path" --arg mode "$(stat -c %a "$path")" --argjson size "$(stat -c %s "$path")" \
      --argjson dir "$(stat -c %a "${path%/*}")" '{($name): {$path, $mode, $size, $dir}}'
  done | jq -sc --argjson args $# --arg cwd "$PWD" --slurpfile values "$VALUES_PATH" --slurpfile config "$CONFIG_VALUES_PATH" \
    '{files: add, $args, $cwd, values: $values[0], config: $config[0]}'
}
look "$@" >>"$CONFORMANCE_RECORD/look-global"
