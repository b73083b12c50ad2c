{{/*
lib.selectorLabels (dict "ctx" $ "app" "controller")
The labels of a component that never change: for selectors and pod templates. One module is one release, so the module and
the component name it.
*/}}
{{- define "lib.selectorLabels" -}}
app.kubernetes.io/name: {{ .ctx.Chart.Name }}
app.kubernetes.io/component: {{ .app }}
{{- end -}}

{{/*
lib.labels (dict "ctx" $ "app" "controller")
The recommended labels of an object. Not for pod templates: a new module version must not roll pods that stay the same.
*/}}
{{- define "lib.labels" -}}
{{ include "lib.selectorLabels" . }}
app.kubernetes.io/instance: {{ .ctx.Release.Name }}
app.kubernetes.io/version: {{ .ctx.Chart.AppVersion | default .ctx.Chart.Version | quote }}
app.kubernetes.io/managed-by: {{ .ctx.Release.Service }}
{{- end -}}

{{/*
lib.image (dict "ctx" $ "image" "quay.io/jetstack/cert-manager-controller:v1.0.0")
The image reference; global.images.registry, where set, takes the place of the registry host. References without a host are
Docker Hub's, whose single-name repositories live under library/.
*/}}
{{- define "lib.image" -}}
{{- $registry := (include "lib.global" (dict "ctx" .ctx "path" "images.registry") | fromJson).v | default "" | trimSuffix "/" -}}
{{- $parts := splitList "/" .image -}}
{{- $head := first $parts -}}
{{- if not $registry -}}
  {{- .image -}}
{{- else if and (gt (len $parts) 1) (or (contains "." $head) (contains ":" $head) (eq $head "localhost")) -}}
  {{- printf "%s/%s" $registry (rest $parts | join "/") -}}
{{- else if eq (len $parts) 1 -}}
  {{- printf "%s/library/%s" $registry .image -}}
{{- else -}}
  {{- printf "%s/%s" $registry .image -}}
{{- end -}}
{{- end -}}

{{/*
lib.scrape (dict "port" 9402 "path" "/metrics")
Pod annotations by which the prometheus module finds the metrics endpoint.
*/}}
{{- define "lib.scrape" -}}
prometheus.io/scrape: "true"
prometheus.io/port: {{ .port | quote }}
prometheus.io/path: {{ .path | default "/metrics" | quote }}
{{- end -}}
