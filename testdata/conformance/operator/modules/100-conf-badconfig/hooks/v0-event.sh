#!/usr/bin/env bash
# C-072: no such event.
if [[ $1 == "--config" ]]; then
  cat <<EOF
onKubernetesEvent: [{kind: Pod, event: [appear]}]
EOF
  exit 0
fi
echo "ran: ${0##*/}" >>"$CONFORMANCE_RECORD/badconfig"
