#!/usr/bin/env bash
# C-107: fails without a word.
if [[ $1 == "--config" ]]; then
  cat <<EOF
configVersion: v1
kubernetes:
- name: status
  apiVersion: v1
  kind: ConfigMap
  nameSelector: {matchNames: [status]}
  namespace: {nameSelector: {matchNames: [conf-environment]}}
  executeHookOnSynchronization: false
  queue: status
  allowFailure: true
EOF
  exit 0
fi
exit 9
