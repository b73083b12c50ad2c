#!/usr/bin/env bash
# global.discovery.network: the address ranges of pods and of Services, [] where nothing tells them.
#
# Pods: what kubeadm was told, else the ranges given to the nodes (one per node and family; a network plugin with its own
# address management gives none). Services: ServiceCIDR objects, else what kubeadm was told.
set -euo pipefail
source "${BASH_SOURCE[0]%/*}/lib/discovery.sh"

config() {
  cat <<'YAML'
configVersion: v1
kubernetes:
  - name: nodes
    group: network
    apiVersion: v1
    kind: Node
    keepFullObjectsInMemory: false
    jqFilter: '{podCIDRs: (.spec.podCIDRs // [.spec.podCIDR // empty])}'
  - name: service-cidrs
    group: network
    apiVersion: networking.k8s.io/v1
    kind: ServiceCIDR
    keepFullObjectsInMemory: false
    jqFilter: '{cidrs: (.spec.cidrs // [])}'
  - name: kubeadm
    group: network
    apiVersion: v1
    kind: ConfigMap
    namespace: {nameSelector: {matchNames: [kube-system]}}
    nameSelector: {matchNames: [kubeadm-config]}
    keepFullObjectsInMemory: false
    jqFilter: |
      def subnets($key):
        [ .[] | capture("^\\s+" + $key + ":\\s*[\"']?(?<cidrs>[^\"'\\s#]+)") | .cidrs | split(",")[] ];
      .data.ClusterConfiguration // "" | split("\n") | {pods: subnets("podSubnet"), services: subnets("serviceSubnet")}
YAML
}

discovery::run network '
def first_known(lists): first((lists | select(length > 0)), []) | unique;
{
  podSubnets: first_known([.kubeadm[]?.pods[]?], [.nodes[]?.podCIDRs[]?]),
  serviceSubnets: first_known([.["service-cidrs"][]?.cidrs[]?], [.kubeadm[]?.services[]?])
}
' "$@"
