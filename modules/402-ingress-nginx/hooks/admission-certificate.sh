#!/usr/bin/env bash
# ingressNginx.internal.admission: the certificate of the admission webhook, as the cluster has it.
#
# The first render makes a certificate, because templates can and a shell cannot. This hook then keeps it in the values, so that
# every later render is the same, also after a restart of the operator. A certificate once kept is not replaced by what somebody
# wrote into the Secret: that is repaired like any other drift.
set -euo pipefail

config() {
  cat <<'YAML'
configVersion: v1
kubernetes:
  - name: admission
    group: admission
    apiVersion: v1
    kind: Secret
    namespace: {nameSelector: {matchNames: [ingress-nginx]}}
    nameSelector: {matchNames: [ingress-nginx-admission]}
    keepFullObjectsInMemory: false
    jqFilter: '{ca: .data["ca.crt"], cert: .data["tls.crt"], key: .data["tls.key"]}'
YAML
}

if [[ "${1:-}" == "--config" ]]; then
  config
  exit 0
fi

if jq -e '.ingressNginx.internal.admission' "$VALUES_PATH" >/dev/null; then
  exit 0
fi

jq -c '
  [.[].snapshots.admission[]?.filterResult | select(.ca and .cert and .key)] | last // empty
  | {op: "add", path: "/ingressNginx/internal", value: {admission: .}}
' "$BINDING_CONTEXT_PATH" >"$VALUES_JSON_PATCH_PATH"
