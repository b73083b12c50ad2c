{{/*
meta (dict "ctx" $ "app" "controller" "name" "ingress-nginx-controller")
metadata of a namespaced object.
*/}}
{{- define "meta" -}}
name: {{ .name }}
namespace: {{ .ctx.Release.Namespace }}
labels:
  {{- include "lib.labels" . | nindent 2 }}
{{- end -}}

{{/*
admissionSecret $
The Secret with the webhook's certificate: cert-manager's, or our own. Two names, because one cannot take over the other's.
*/}}
{{- define "admissionSecret" -}}
{{- if include "lib.enabled" (dict "ctx" . "module" "cert-manager") -}}
ingress-nginx-admission-tls
{{- else -}}
ingress-nginx-admission
{{- end -}}
{{- end -}}

{{/*
pod $
The pod template that the Deployment and the DaemonSet share.
*/}}
{{- define "pod" -}}
{{- $values := .Values.ingressNginx -}}
{{- $app := dict "ctx" $ "app" "controller" -}}
{{- $hostPort := eq (include "inlet" .) "HostPort" -}}
metadata:
  labels:
    {{- include "lib.selectorLabels" $app | nindent 4 }}
  annotations:
    {{- include "lib.scrape" (dict "port" 10254) | nindent 4 }}
spec:
  serviceAccountName: ingress-nginx
  # Time for open connections to end, see preStop.
  terminationGracePeriodSeconds: 300
  securityContext:
    {{- include "lib.podSecurityContext" . | nindent 4 }}
  nodeSelector:
    kubernetes.io/os: linux
    {{- if or $hostPort (gt (include "lib.roleCount" (dict "ctx" . "role" "ingress") | int) 0) }}
    dedicated: ingress
    {{- end }}
  {{- include "lib.tolerations" (dict "ctx" . "role" "ingress") | nindent 2 }}
  {{- if not $hostPort }}
  {{- with include "lib.spread" $app }}
  {{- . | nindent 2 }}
  {{- end }}
  {{- end }}
  containers:
    - name: controller
      image: {{ include "lib.image" (dict "ctx" . "image" (printf "registry.k8s.io/ingress-nginx/controller:%s" .Chart.AppVersion)) }}
      args:
        - /nginx-ingress-controller
        - --election-id=ingress-nginx-leader
        - --controller-class=k8s.io/ingress-nginx
        - --ingress-class={{ $values.ingressClass }}
        - --configmap=$(POD_NAMESPACE)/ingress-nginx-controller
        - --enable-metrics=true
        {{- if not $hostPort }}
        - --publish-service=$(POD_NAMESPACE)/ingress-nginx-controller
        {{- end }}
        {{- if $values.defaultClass }}
        - --watch-ingress-without-class=true
        {{- end }}
        {{- with $values.defaultSSLCertificate }}
        - --default-ssl-certificate={{ . }}
        {{- end }}
        {{- if $values.validateIngresses }}
        - --validating-webhook=:8443
        - --validating-webhook-certificate=/usr/local/certificates/tls.crt
        - --validating-webhook-key=/usr/local/certificates/tls.key
        {{- end }}
      env:
        - name: POD_NAME
          valueFrom: {fieldRef: {fieldPath: metadata.name}}
        - name: POD_NAMESPACE
          valueFrom: {fieldRef: {fieldPath: metadata.namespace}}
        # The faster allocator that the image brings along.
        - name: LD_PRELOAD
          value: /usr/local/lib/libmimalloc.so
      ports:
        {{- if $hostPort }}
        - {name: http, containerPort: 80, hostPort: {{ $values.hostPort.http }}}
        - {name: https, containerPort: 443, hostPort: {{ $values.hostPort.https }}}
        {{- else }}
        - {name: http, containerPort: 80}
        - {name: https, containerPort: 443}
        {{- end }}
        - {name: metrics, containerPort: 10254}
        {{- if $values.validateIngresses }}
        - {name: webhook, containerPort: 8443}
        {{- end }}
      lifecycle:
        preStop: {exec: {command: [/wait-shutdown]}}
      livenessProbe:
        httpGet: {path: /healthz, port: metrics}
        initialDelaySeconds: 10
        failureThreshold: 5
      readinessProbe:
        httpGet: {path: /healthz, port: metrics}
        initialDelaySeconds: 10
      resources:
        {{- toYaml $values.resources | nindent 8 }}
      # Not lib.securityContext: the image writes nginx.conf, Lua and temporary files in many places, and the nginx binary does
      # not start without its file capability.
      securityContext:
        allowPrivilegeEscalation: false
        readOnlyRootFilesystem: false
        runAsNonRoot: true
        runAsUser: 101
        runAsGroup: 82
        capabilities:
          drop: [ALL]
          add: [NET_BIND_SERVICE]
        seccompProfile:
          type: RuntimeDefault
      {{- if $values.validateIngresses }}
      volumeMounts:
        - {name: admission, mountPath: /usr/local/certificates, readOnly: true}
      {{- end }}
  {{- if $values.validateIngresses }}
  volumes:
    - name: admission
      secret: {secretName: {{ include "admissionSecret" . }}}
  {{- end }}
{{- end -}}
