#!/usr/bin/env bash
# C-194: runs at shutdown and does not want to end, nor does what it started.
if [[ $1 == "--config" ]]; then
  cat <<EOF
configVersion: v1
kubernetes:
- name: hang
  apiVersion: v1
  kind: ConfigMap
  namespace: {nameSelector: {matchNames: [conf-hooks]}}
  nameSelector: {matchNames: [hang]}
  executeHookOnSynchronization: false
  queue: hang
EOF
  exit 0
fi
trap '' TERM
sleep 600 &
echo "$$ $!" >"$CONFORMANCE_RECORD/hooks-hang"
wait
