#!/usr/bin/env bash
# C-002, C-005: executable in lib: no hook, and a warning.
if [[ $1 == "--config" ]]; then
  cat <<EOF
{configVersion: v1, onStartup: 1}
EOF
  exit 0
fi
jq -r '.[] | "tool " + .binding + " " + (.type // "")' "$BINDING_CONTEXT_PATH" >>"$CONFORMANCE_RECORD/hooks-order"
