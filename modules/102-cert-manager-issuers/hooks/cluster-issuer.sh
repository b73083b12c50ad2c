#!/usr/bin/env bash
# certManagerIssuers.clusterIssuer: the name of the issuer that other modules use for their certificates.
set -euo pipefail

if [[ "${1:-}" == "--config" ]]; then
  echo '{"configVersion": "v1", "beforeHelm": 10}'
  exit 0
fi

jq -c '
  .certManagerIssuers
  | if (.defaultIssuer // "") != "" then .defaultIssuer
    elif (.email // "") != "" then "letsencrypt"
    else "selfsigned"
    end
  | {op: "add", path: "/certManagerIssuers/clusterIssuer", value: .}
' "$VALUES_PATH" >"$VALUES_JSON_PATCH_PATH"
