#!/usr/bin/env bash
# Gives the module a password when it has none, and keeps it with the user's settings: the schema marks it as secret, so
# it is stored in the Secret beside the ConfigMap.
set -euo pipefail

if [[ "${1:-}" == "--config" ]]; then
  echo '{"configVersion": "v1", "beforeHelm": 10}'
  exit 0
fi

if jq -e '(.prometheus.auth.password // "") != ""' "$VALUES_PATH" >/dev/null; then
  exit 0
fi

# An `add` needs a parent, and config values hold no defaults: the section `auth` is there only if the user wrote it.
# The password travels by pipe, not as an argument that `ps` would show.
head -c 24 /dev/urandom | base64 | tr -d '\n' | tr '+/' '-_' |
  jq -R --slurpfile config "$CONFIG_VALUES_PATH" '
    . as $password
    | if ($config[0].prometheus.auth | type) == "object"
      then {op: "add", path: "/prometheus/auth/password", value: $password}
      else {op: "add", path: "/prometheus/auth", value: {password: $password}}
      end' >>"$CONFIG_VALUES_JSON_PATCH_PATH"
