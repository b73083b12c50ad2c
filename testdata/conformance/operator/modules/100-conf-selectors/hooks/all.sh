#!/usr/bin/env bash
# C-050, C-150, C-151, C-152: every selector; the snapshots say what each selects.
if [[ $1 == "--config" ]]; then
  cat <<EOF
configVersion: v1
kubernetes:
- name: plural
  group: all
  jqFilter: '.metadata.namespace + "/" + .metadata.name'
  keepFullObjectsInMemory: false
  kind: configmaps
  namespace: {nameSelector: {matchNames: [conf-selectors]}}
  labelSelector: {matchLabels: {conf: selectors}}
- name: short
  group: all
  jqFilter: '.metadata.namespace + "/" + .metadata.name'
  keepFullObjectsInMemory: false
  kind: cm
  namespace: {nameSelector: {matchNames: [conf-selectors]}}
  labelSelector: {matchLabels: {conf: selectors}}
- name: lower-case
  group: all
  jqFilter: '.metadata.namespace + "/" + .metadata.name'
  keepFullObjectsInMemory: false
  kind: configmap
  namespace: {nameSelector: {matchNames: [conf-selectors]}}
  labelSelector: {matchLabels: {conf: selectors}}
- name: version
  group: all
  jqFilter: '.metadata.namespace + "/" + .metadata.name'
  keepFullObjectsInMemory: false
  apiVersion: v1
  kind: ConfigMap
  namespace: {nameSelector: {matchNames: [conf-selectors]}}
  labelSelector: {matchLabels: {conf: selectors}}
- name: group-version
  group: all
  jqFilter: '.metadata.namespace + "/" + .metadata.name'
  keepFullObjectsInMemory: false
  apiVersion: apps/v1
  kind: Deployment
  namespace: {nameSelector: {matchNames: [conf-selectors]}}
- name: names
  group: all
  jqFilter: '.metadata.namespace + "/" + .metadata.name'
  keepFullObjectsInMemory: false
  apiVersion: v1
  kind: ConfigMap
  namespace: {nameSelector: {matchNames: [conf-selectors]}}
  nameSelector: {matchNames: [a, c, absent]}
- name: labels
  group: all
  jqFilter: '.metadata.namespace + "/" + .metadata.name'
  keepFullObjectsInMemory: false
  apiVersion: v1
  kind: ConfigMap
  namespace: {nameSelector: {matchNames: [conf-selectors]}}
  labelSelector: {matchLabels: {conf: selectors, size: big}}
- name: in
  group: all
  jqFilter: '.metadata.namespace + "/" + .metadata.name'
  keepFullObjectsInMemory: false
  apiVersion: v1
  kind: ConfigMap
  namespace: {nameSelector: {matchNames: [conf-selectors]}}
  labelSelector: {matchLabels: {conf: selectors}, matchExpressions: [{key: size, operator: In, values: [big, small]}]}
- name: not-in
  group: all
  jqFilter: '.metadata.namespace + "/" + .metadata.name'
  keepFullObjectsInMemory: false
  apiVersion: v1
  kind: ConfigMap
  namespace: {nameSelector: {matchNames: [conf-selectors]}}
  labelSelector: {matchLabels: {conf: selectors}, matchExpressions: [{key: size, operator: NotIn, values: [big]}]}
- name: exists
  group: all
  jqFilter: '.metadata.namespace + "/" + .metadata.name'
  keepFullObjectsInMemory: false
  apiVersion: v1
  kind: ConfigMap
  namespace: {nameSelector: {matchNames: [conf-selectors]}}
  labelSelector: {matchExpressions: [{key: size, operator: Exists}]}
- name: does-not-exist
  group: all
  jqFilter: '.metadata.namespace + "/" + .metadata.name'
  keepFullObjectsInMemory: false
  apiVersion: v1
  kind: ConfigMap
  namespace: {nameSelector: {matchNames: [conf-selectors]}}
  labelSelector: {matchLabels: {conf: selectors}, matchExpressions: [{key: size, operator: DoesNotExist}]}
- name: field-eq
  group: all
  jqFilter: '.metadata.namespace + "/" + .metadata.name'
  keepFullObjectsInMemory: false
  apiVersion: v1
  kind: ConfigMap
  namespace: {nameSelector: {matchNames: [conf-selectors]}}
  fieldSelector: {matchExpressions: [{field: metadata.name, operator: "=", value: b}]}
- name: field-eqeq
  group: all
  jqFilter: '.metadata.namespace + "/" + .metadata.name'
  keepFullObjectsInMemory: false
  apiVersion: v1
  kind: ConfigMap
  namespace: {nameSelector: {matchNames: [conf-selectors]}}
  fieldSelector: {matchExpressions: [{field: metadata.name, operator: "==", value: b}]}
- name: field-equals
  group: all
  jqFilter: '.metadata.namespace + "/" + .metadata.name'
  keepFullObjectsInMemory: false
  apiVersion: v1
  kind: ConfigMap
  namespace: {nameSelector: {matchNames: [conf-selectors]}}
  fieldSelector: {matchExpressions: [{field: metadata.name, operator: "Equals", value: b}]}
- name: field-ne
  group: all
  jqFilter: '.metadata.namespace + "/" + .metadata.name'
  keepFullObjectsInMemory: false
  apiVersion: v1
  kind: ConfigMap
  namespace: {nameSelector: {matchNames: [conf-selectors]}}
  labelSelector: {matchLabels: {conf: selectors}}
  fieldSelector: {matchExpressions: [{field: metadata.name, operator: "!=", value: b}]}
- name: field-not-equals
  group: all
  jqFilter: '.metadata.namespace + "/" + .metadata.name'
  keepFullObjectsInMemory: false
  apiVersion: v1
  kind: ConfigMap
  namespace: {nameSelector: {matchNames: [conf-selectors]}}
  labelSelector: {matchLabels: {conf: selectors}}
  fieldSelector: {matchExpressions: [{field: metadata.name, operator: "NotEquals", value: b}]}
- name: all-namespaces
  group: all
  jqFilter: '.metadata.namespace + "/" + .metadata.name'
  keepFullObjectsInMemory: false
  apiVersion: v1
  kind: ConfigMap
  labelSelector: {matchLabels: {conf: selectors}}
- name: names-in-namespaces
  group: all
  jqFilter: '.metadata.namespace + "/" + .metadata.name'
  keepFullObjectsInMemory: false
  apiVersion: v1
  kind: ConfigMap
  nameSelector: {matchNames: [a, b]}
  namespace: {nameSelector: {matchNames: [conf-selectors, conf-selectors-2]}}
- name: namespace-labels
  group: all
  jqFilter: '.metadata.namespace + "/" + .metadata.name'
  keepFullObjectsInMemory: false
  apiVersion: v1
  kind: ConfigMap
  labelSelector: {matchLabels: {conf: selectors}}
  namespace: {labelSelector: {matchLabels: {conf-selectors: "yes"}}}
- name: both-of-namespaces
  group: all
  jqFilter: '.metadata.namespace + "/" + .metadata.name'
  keepFullObjectsInMemory: false
  apiVersion: v1
  kind: ConfigMap
  labelSelector: {matchLabels: {conf: selectors}}
  namespace: {nameSelector: {matchNames: [conf-selectors, conf-selectors-2]}, labelSelector: {matchLabels: {conf-selectors: "yes"}}}
EOF
  exit 0
fi
jq -c . "$BINDING_CONTEXT_PATH" >>"$CONFORMANCE_RECORD/selectors"
