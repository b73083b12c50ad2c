{{/*
prometheus.images: the pinned images of the module by component.
*/}}
{{- define "prometheus.images" -}}
prometheus: quay.io/prometheus/prometheus:v3.13.5
kubeStateMetrics: registry.k8s.io/kube-state-metrics/kube-state-metrics:v2.20.0
nodeExporter: quay.io/prometheus/node-exporter:v1.12.1
grafana: docker.io/grafana/grafana:13.3.1
trickster: ghcr.io/trickstercache/trickster:2.0.0
{{- end -}}

{{/*
prometheus.image (dict "ctx" $ "of" "grafana")
*/}}
{{- define "prometheus.image" -}}
{{- include "lib.image" (dict "ctx" .ctx "image" (index (include "prometheus.images" .ctx | fromYaml) .of)) -}}
{{- end -}}

{{/*
prometheus.baseClass (dict "ctx" $ "app" "main")
The StorageClass of a server's volume when the user names none: that of the claim in use, else the discovered default,
else nothing.
*/}}
{{- define "prometheus.baseClass" -}}
{{- $claims := dig "internal" "claims" dict .ctx.Values.prometheus -}}
{{- $discovered := (include "lib.global" (dict "ctx" .ctx "path" "discovery.storage.defaultClass") | fromJson).v | default "" -}}
{{- get $claims (printf "data-prometheus-%s-0" .app) | default $discovered -}}
{{- end -}}

{{/*
prometheus.class (dict "ctx" $ "app" "main")
The StorageClass of a server's volume; nothing means an emptyDir.
*/}}
{{- define "prometheus.class" -}}
{{- .ctx.Values.prometheus.storage.class | default (include "prometheus.baseClass" .) -}}
{{- end -}}

{{/*
prometheus.serverName (dict "ctx" $ "app" "main")
The name of a server's StatefulSet, which its claims bear too. Neither the claim template of a StatefulSet nor the class of a
claim can change, so what would need that gets another name: an emptyDir, and a class that is not the one in use.
At most 52 characters: the controller appends a hash of 10 and keeps the whole in a label of 63.
*/}}
{{- define "prometheus.serverName" -}}
{{- $class := include "prometheus.class" . -}}
{{- $base := include "prometheus.baseClass" . -}}
{{- if not $class -}}
{{ printf "prometheus-%s-ephemeral" .app }}
{{- else if or (not $base) (eq $class $base) -}}
{{ printf "prometheus-%s" .app }}
{{- else -}}
{{ printf "prometheus-%s-%s" .app ($class | replace "." "-" | trunc 30 | trimSuffix "-") }}
{{- end -}}
{{- end -}}

{{/*
prometheus.retentionSize "20Gi": 80 % of a volume in Prometheus' unit (its MB are powers of two), the rest is for the WAL
and compaction.
*/}}
{{- define "prometheus.retentionSize" -}}
{{- printf "%dMB" (div (mul (trimSuffix "Gi" . | int64) 1024 80) 100) -}}
{{- end -}}

{{/*
prometheus.exposed $
"true" when Ingress objects are to be rendered: someone serves them and there is a name to serve.
*/}}
{{- define "prometheus.exposed" -}}
{{- if and (include "lib.enabled" (dict "ctx" . "module" "ingress-nginx")) (include "lib.host" (dict "ctx" . "name" "grafana")) -}}
true
{{- end -}}
{{- end -}}

{{/*
prometheus.htpasswd $
The line of an htpasswd file in nginx' {SSHA} form: base64 of sha1(password + salt) and salt. bcrypt would be stronger for a
guessable password but has a random salt, so the text would differ at every render; this one changes with its inputs only.
The salt is fixed per site and user. 20 bytes of digest and 10 of salt are 60 hexadecimal digits: three of them, 12 bits, make
two digits of base64.
*/}}
{{- define "prometheus.htpasswd" -}}
{{- $auth := .Values.prometheus.auth -}}
{{- $salt := printf "%s/%s" (include "lib.host" (dict "ctx" . "name" "prometheus")) $auth.user | sha256sum | trunc 10 -}}
{{- $hex := printf "%s%x" (printf "%s%s" $auth.password $salt | sha1sum) $salt -}}
{{- $alphabet := "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/" -}}
{{- $value := dict -}}
{{- range $i, $digit := splitList "" "0123456789abcdef" -}}
  {{- $_ := set $value $digit $i -}}
{{- end -}}
{{- $out := "" -}}
{{- range $i := until 20 -}}
  {{- $at := mul $i 3 | int -}}
  {{- $bits := 0 -}}
  {{- range $digit := splitList "" (substr $at (add $at 3 | int) $hex) -}}
    {{- $bits = add (mul $bits 16) (get $value $digit) -}}
  {{- end -}}
  {{- range $index := list (div $bits 64) (mod $bits 64) -}}
    {{- $out = print $out (substr ($index | int) (add1 $index | int) $alphabet) -}}
  {{- end -}}
{{- end -}}
{{ $auth.user }}:{SSHA}{{ $out }}
{{- end -}}

{{/*
prometheus.issuer $
The ClusterIssuer for the certificates of the Ingresses, nothing when the module that makes issuers is off.
*/}}
{{- define "prometheus.issuer" -}}
{{- if include "lib.enabled" (dict "ctx" . "module" "cert-manager-issuers") -}}
{{- dig "certManagerIssuers" "clusterIssuer" "selfsigned" (.Values.modules | default dict) -}}
{{- end -}}
{{- end -}}

{{/*
prometheus.scheme $
Of the public addresses.
*/}}
{{- define "prometheus.scheme" -}}
{{- if include "prometheus.issuer" . -}}https{{- else -}}http{{- end -}}
{{- end -}}
