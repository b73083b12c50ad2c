{{/*
acme (dict "ctx" $ "name" "letsencrypt" "server" "https://...")
A ClusterIssuer that solves HTTP-01 challenges by an Ingress.
*/}}
{{- define "acme" -}}
{{- $values := .ctx.Values.certManagerIssuers -}}
{{- $modules := .ctx.Values.modules | default dict -}}
{{- $nginx := $modules.ingressNginx | default dict -}}
apiVersion: cert-manager.io/v1
kind: ClusterIssuer
metadata:
  name: {{ .name }}
  labels:
    {{- include "lib.labels" (dict "ctx" .ctx "app" .name) | nindent 4 }}
spec:
  acme:
    server: {{ .server | quote }}
    email: {{ $values.email | quote }}
    # cert-manager makes the account key and keeps it here, in its own namespace.
    privateKeySecretRef:
      name: {{ .name }}-account-key
    solvers:
      - http01:
          {{- with $values.ingressClass | default $nginx.ingressClass }}
          ingress:
            ingressClassName: {{ . | quote }}
          {{- else }}
          ingress: {}
          {{- end }}
{{- end -}}
