#!/usr/bin/env bash
# global.discovery.dns: the address of the cluster DNS and the domain of the cluster.
#
# The domain is the first forward zone of the CoreDNS plugin `kubernetes`, else what kubeadm was told, else cluster.local.
set -euo pipefail
source "${BASH_SOURCE[0]%/*}/lib/discovery.sh"

config() {
  cat <<'YAML'
configVersion: v1
kubernetes:
  - name: services
    group: dns
    apiVersion: v1
    kind: Service
    namespace: {nameSelector: {matchNames: [kube-system]}}
    labelSelector:
      matchExpressions: [{key: k8s-app, operator: In, values: [kube-dns, coredns]}]
    keepFullObjectsInMemory: false
    jqFilter: '{name: .metadata.name, address: (.spec.clusterIP // "")}'
  - name: openshift
    group: dns
    apiVersion: v1
    kind: Service
    namespace: {nameSelector: {matchNames: [openshift-dns]}}
    nameSelector: {matchNames: [dns-default]}
    keepFullObjectsInMemory: false
    jqFilter: '{name: .metadata.name, address: (.spec.clusterIP // "")}'
  - name: corefile
    group: dns
    apiVersion: v1
    kind: ConfigMap
    namespace: {nameSelector: {matchNames: [kube-system]}}
    nameSelector: {matchNames: [coredns, rke2-coredns-rke2-coredns]}
    keepFullObjectsInMemory: false
    jqFilter: |
      [ .data.Corefile // "" | split("\n")[]
        | capture("^\\s*kubernetes\\s+(?<zones>[^{#]*)") | .zones | split(" ")[]
        | sub("\\s+$"; "") | sub("\\.$"; "") | select(. != "" and (test("\\.arpa$") | not))
      ] | {domain: (.[0] // "")}
  - name: kubeadm
    group: dns
    apiVersion: v1
    kind: ConfigMap
    namespace: {nameSelector: {matchNames: [kube-system]}}
    nameSelector: {matchNames: [kubeadm-config]}
    keepFullObjectsInMemory: false
    jqFilter: |
      [ .data.ClusterConfiguration // "" | split("\n")[]
        | capture("^\\s+dnsDomain:\\s*[\"']?(?<domain>[^\"'\\s#]+)") | .domain
      ] | {domain: (.[0] // "")}
YAML
}

discovery::run dns '
{
  address: (
    [.services[]?, .openshift[]?]
    | map(select(.address != "" and .address != "None"))
    | sort_by(.name != "kube-dns", .name)
    | .[0].address // ""
  ),
  domain: known(.corefile[]?.domain, .kubeadm[]?.domain, "cluster.local")
}
' "$@"
