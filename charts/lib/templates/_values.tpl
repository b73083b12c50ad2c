{{/*
lib.global (dict "ctx" $ "path" "discovery.nodes.imitated")
The value at a path below .Values.global as JSON {"v": ...}; v is null where any part of the path is absent.
Read it as: (include "lib.global" (dict "ctx" $ "path" "...") | fromJson).v
Numbers come back as floats: convert with `int` before printing.
*/}}
{{- define "lib.global" -}}
{{- $none := index (dict) "none" -}}
{{- $value := .ctx.Values.global -}}
{{- range splitList "." .path -}}
  {{- if kindIs "map" $value -}}
    {{- $value = index $value . -}}
  {{- else -}}
    {{- $value = $none -}}
  {{- end -}}
{{- end -}}
{{- dict "v" $value | toJson -}}
{{- end -}}

{{/*
lib.provider $
The discovered cloud provider, "none" on bare metal and where nothing was discovered.
*/}}
{{- define "lib.provider" -}}
{{- (include "lib.global" (dict "ctx" . "path" "discovery.cloud.provider") | fromJson).v | default "none" -}}
{{- end -}}

{{/*
lib.roleCount (dict "ctx" $ "role" "ingress")
How many nodes carry the role (label or taint `dedicated=<role>`), "0" when none or unknown.
*/}}
{{- define "lib.roleCount" -}}
{{- (include "lib.global" (dict "ctx" .ctx "path" (printf "discovery.nodes.roles.%s.count" .role)) | fromJson).v | default 0 | int -}}
{{- end -}}

{{/*
lib.enabled (dict "ctx" $ "module" "ingress-nginx")
"true" when the module is on, else nothing.
*/}}
{{- define "lib.enabled" -}}
{{- if has .module ((include "lib.global" (dict "ctx" .ctx "path" "enabledModules") | fromJson).v | default list) -}}
true
{{- end -}}
{{- end -}}

{{/*
lib.host (dict "ctx" $ "name" "grafana")
The public host name by global.publicDomainTemplate ("%s.example.com" > "grafana.example.com"), nothing without a template.
*/}}
{{- define "lib.host" -}}
{{- $template := (include "lib.global" (dict "ctx" .ctx "path" "publicDomainTemplate") | fromJson).v | default "" -}}
{{- $template | replace "%s" .name -}}
{{- end -}}

{{/*
lib.webhooksAnswer $
"true" unless every node is imitated: there no pod would answer a webhook call, and the API server would refuse the
objects that the webhook guards.
*/}}
{{- define "lib.webhooksAnswer" -}}
{{- if not (include "lib.global" (dict "ctx" . "path" "discovery.nodes.imitated") | fromJson).v -}}
true
{{- end -}}
{{- end -}}

{{/*
lib.ha $
"true" when components should run in several replicas: global.highAvailability, and where that is unset (null) when the
cluster has two or more control-plane nodes.
*/}}
{{- define "lib.ha" -}}
{{- $wanted := (include "lib.global" (dict "ctx" . "path" "highAvailability") | fromJson).v -}}
{{- $controlPlane := (include "lib.global" (dict "ctx" . "path" "discovery.nodes.controlPlaneCount") | fromJson).v | default 0 | int -}}
{{- if kindIs "bool" $wanted -}}
  {{- if $wanted -}}true{{- end -}}
{{- else if ge $controlPlane 2 -}}
true
{{- end -}}
{{- end -}}

{{/*
lib.replicas (dict "ctx" $ "single" 1 "ha" 2)
*/}}
{{- define "lib.replicas" -}}
{{- if include "lib.ha" .ctx -}}{{ .ha | default 2 }}{{- else -}}{{ .single | default 1 }}{{- end -}}
{{- end -}}
