#!/usr/bin/env bash
# C-025, C-070, C-072, C-074, C-129: the first hook of the first talk: every new namespace gets a Secret.
if [[ $1 == "--config" ]]; then
  echo '{"onKubernetesEvent":[{"kind":"namespace","event":["add"]}]}'
else
  namespace=$(jq -r '.[0].resourceName' "$BINDING_CONTEXT_PATH")
  kubectl -n "$namespace" create secret generic greeting --from-literal=to="$namespace"
fi
