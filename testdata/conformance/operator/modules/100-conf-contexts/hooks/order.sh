#!/usr/bin/env bash
# C-132, C-134: snapshots are read when the run starts; by namespace and name.
if [[ $1 == "--config" ]]; then
  cat <<EOF
configVersion: v1
kubernetes:
- name: order
  apiVersion: v1
  kind: ConfigMap
  labelSelector: {matchLabels: {conf: order}}
  executeHookOnSynchronization: false
  queue: order
  includeSnapshotsFrom: [order, names]
- name: names
  apiVersion: v1
  kind: ConfigMap
  labelSelector: {matchLabels: {conf: order}}
  jqFilter: .metadata.namespace + "/" + .metadata.name
  keepFullObjectsInMemory: false
  executeHookOnSynchronization: false
  executeHookOnEvent: []
EOF
  exit 0
fi
jq -c "map({binding, type, watchEvent, object: .object.metadata.name, order: [.snapshots.order[].object.metadata | .namespace + \"/\" + .name], names: [.snapshots.names[].filterResult]})" "$BINDING_CONTEXT_PATH" >>"$CONFORMANCE_RECORD/order"
while [[ ! -e $CONFORMANCE_RECORD/order-go ]]; do sleep 0.02; done
