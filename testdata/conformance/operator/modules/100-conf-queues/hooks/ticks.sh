#!/usr/bin/env bash
# C-189: equal crontabs tick together, each binding in its own queue.
if [[ $1 == "--config" ]]; then
  cat <<EOF
configVersion: v1
schedule:
- {name: left, crontab: '*/1 * * * * *', queue: left}
- {name: right, crontab: '*/1 * * * * *', queue: right}
EOF
  exit 0
fi
jq -c --arg at "$(date +%s)" "map({at: \$at, binding})[]" "$BINDING_CONTEXT_PATH" >>"$CONFORMANCE_RECORD/ticks"
