#!/usr/bin/env bash
# C-070, C-129: onStartup and the bindings of modules in v0.
if [[ $1 == "--config" ]]; then
  cat <<EOF
{"onStartup": 1, "beforeHelm": 1, "afterHelm": 1}
EOF
  exit 0
fi
jq -c . "$BINDING_CONTEXT_PATH" >>"$CONFORMANCE_RECORD/v0-startup"
