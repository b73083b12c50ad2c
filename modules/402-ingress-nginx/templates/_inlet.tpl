{{/*
inlet $
"LoadBalancer" or "HostPort".
*/}}
{{- define "inlet" -}}
{{- $wanted := .Values.ingressNginx.inlet -}}
{{- if ne $wanted "Auto" -}}
  {{- $wanted -}}
{{- else if has (include "lib.provider" .) (list "aws" "azure" "digitalocean" "gce" "hetzner" "openstack" "yandex") -}}
  LoadBalancer
{{- else -}}
  HostPort
{{- end -}}
{{- end -}}

{{/*
loadBalancerAnnotations $
YAML of what the discovered cloud needs or is better with; the user's annotations win.
*/}}
{{- define "loadBalancerAnnotations" -}}
{{- $provider := include "lib.provider" . -}}
{{- $region := (include "lib.global" (dict "ctx" . "path" "discovery.cloud.region") | fromJson).v | default "" -}}
{{- $distribution := (include "lib.global" (dict "ctx" . "path" "discovery.kubernetes.distribution") | fromJson).v | default "" -}}
{{- $proxy := .Values.ingressNginx.loadBalancer.proxyProtocol -}}
{{- $out := dict -}}
{{- if eq $provider "aws" -}}
  {{- $_ := set $out "service.beta.kubernetes.io/aws-load-balancer-type" "nlb" -}}
  {{- $_ := set $out "service.beta.kubernetes.io/aws-load-balancer-cross-zone-load-balancing-enabled" "true" -}}
  {{- if $proxy -}}{{- $_ := set $out "service.beta.kubernetes.io/aws-load-balancer-proxy-protocol" "*" -}}{{- end -}}
{{- else if eq $provider "azure" -}}
  {{- $_ := set $out "service.beta.kubernetes.io/azure-load-balancer-health-probe-request-path" "/healthz" -}}
{{- else if eq $provider "digitalocean" -}}
  {{- $_ := set $out "service.beta.kubernetes.io/do-loadbalancer-protocol" "tcp" -}}
  {{- if $proxy -}}{{- $_ := set $out "service.beta.kubernetes.io/do-loadbalancer-enable-proxy-protocol" "true" -}}{{- end -}}
{{- else if and (eq $provider "gce") (eq $distribution "gke") -}}
  {{- /* Only GKE has the controller that answers to it. */ -}}
  {{- $_ := set $out "cloud.google.com/l4-rbs" "enabled" -}}
{{- else if eq $provider "hetzner" -}}
  {{- if $region -}}{{- $_ := set $out "load-balancer.hetzner.cloud/location" $region -}}{{- end -}}
  {{- if $proxy -}}{{- $_ := set $out "load-balancer.hetzner.cloud/uses-proxyprotocol" "true" -}}{{- end -}}
{{- else if eq $provider "openstack" -}}
  {{- /* Without a monitor, traffic goes to nodes without a pod under the policy Local. */ -}}
  {{- $_ := set $out "loadbalancer.openstack.org/enable-health-monitor" "true" -}}
  {{- if $proxy -}}{{- $_ := set $out "loadbalancer.openstack.org/proxy-protocol" "true" -}}{{- end -}}
{{- else if eq $provider "yandex" -}}
  {{- $_ := set $out "yandex.cloud/load-balancer-type" "external" -}}
{{- end -}}
{{- $out = merge (deepCopy .Values.ingressNginx.loadBalancer.annotations) $out -}}
{{- if $out }}{{ toYaml $out }}{{ end -}}
{{- end -}}

{{/*
replicas $
Pods of the inlet LoadBalancer.
*/}}
{{- define "replicas" -}}
{{- $fixed := .Values.ingressNginx.replicas | int -}}
{{- if $fixed -}}
  {{- $fixed -}}
{{- else -}}
  {{- max (include "lib.roleCount" (dict "ctx" . "role" "ingress") | int) (include "lib.replicas" (dict "ctx" .) | int) -}}
{{- end -}}
{{- end -}}
