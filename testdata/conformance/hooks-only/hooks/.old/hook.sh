#!/usr/bin/env bash
# C-002: in a hidden directory.
if [[ $1 == "--config" ]]; then
  cat <<EOF
{configVersion: v1, onStartup: 1}
EOF
  exit 0
fi
jq -r '.[] | "old " + .binding + " " + (.type // "")' "$BINDING_CONTEXT_PATH" >>"$CONFORMANCE_RECORD/hooks-order"
