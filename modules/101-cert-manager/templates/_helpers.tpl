{{/*
image (dict "ctx" $ "name" "controller")
All of cert-manager's images carry the version of the chart's appVersion.
*/}}
{{- define "image" -}}
{{- include "lib.image" (dict "ctx" .ctx "image" (printf "quay.io/jetstack/cert-manager-%s:%s" .name .ctx.Chart.AppVersion)) -}}
{{- end -}}

{{/*
pod (dict "ctx" $ "app" "controller")
Pod template metadata and the part of the pod spec that the three components share.
*/}}
{{- define "pod" -}}
metadata:
  labels:
    {{- include "lib.selectorLabels" . | nindent 4 }}
  annotations:
    {{- include "lib.scrape" (dict "port" 9402) | nindent 4 }}
spec:
  serviceAccountName: cert-manager-{{ .app }}
  enableServiceLinks: false
  securityContext:
    {{- include "lib.podSecurityContext" .ctx | nindent 4 }}
  nodeSelector:
    kubernetes.io/os: linux
  {{- include "lib.tolerations" (dict "ctx" .ctx "role" "system") | nindent 2 }}
  {{- with include "lib.spread" . }}
  {{- . | nindent 2 }}
  {{- end }}
{{- end -}}

{{/*
meta (dict "ctx" $ "app" "controller" "name" "cert-manager-controller")
metadata of a namespaced object.
*/}}
{{- define "meta" -}}
name: {{ .name }}
namespace: {{ .ctx.Release.Namespace }}
labels:
  {{- include "lib.labels" . | nindent 2 }}
{{- end -}}

{{/*
clusterMeta (dict "ctx" $ "app" "controller" "name" "cert-manager-controller")
metadata of a cluster-scoped object.
*/}}
{{- define "clusterMeta" -}}
name: {{ .name }}
labels:
  {{- include "lib.labels" . | nindent 2 }}
{{- end -}}
