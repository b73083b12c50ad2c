{{/*
prometheus.server (dict "ctx" $ "app" "main" "size" "20Gi" "replicas" 1 "token" true "resources" (dict) "args" (list) "config" "<text of the ConfigMap>")
A Prometheus server: StatefulSet, Service, ServiceAccount and volume claims. Its configuration is the ConfigMap
prometheus-<app>, its rules, if any, the ConfigMap prometheus-<app>-rules.

The claims are objects of the chart, made before the StatefulSet asks for them by the same name. So their size can be
changed, which a claim template's cannot, and they outlive the release by the resource policy.
*/}}
{{- define "prometheus.server" -}}
{{- $labels := dict "ctx" .ctx "app" .app -}}
{{- $class := include "prometheus.class" $labels -}}
{{- $name := include "prometheus.serverName" $labels -}}
apiVersion: v1
kind: ServiceAccount
metadata:
  name: prometheus-{{ .app }}
  namespace: {{ .ctx.Release.Namespace }}
  labels:
    {{- include "lib.labels" $labels | nindent 4 }}
automountServiceAccountToken: {{ .token }}
---
apiVersion: v1
kind: Service
metadata:
  name: prometheus-{{ .app }}
  namespace: {{ .ctx.Release.Namespace }}
  labels:
    {{- include "lib.labels" $labels | nindent 4 }}
spec:
  # Replicas scrape at different moments: a reader that jumped between them would see the series jitter.
  sessionAffinity: ClientIP
  selector:
    {{- include "lib.selectorLabels" $labels | nindent 4 }}
  ports:
    - name: http
      port: 9090
      targetPort: http
{{- if $class }}
{{- range $i := until (int .replicas) }}
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata:
  name: data-{{ $name }}-{{ $i }}
  namespace: {{ $.ctx.Release.Namespace }}
  labels:
    {{- include "lib.labels" $labels | nindent 4 }}
  annotations:
    helm.sh/resource-policy: keep
spec:
  accessModes: [ReadWriteOnce]
  storageClassName: {{ $class | quote }}
  resources:
    requests:
      storage: {{ $.size }}
{{- end }}
{{- end }}
---
apiVersion: apps/v1
kind: StatefulSet
metadata:
  name: {{ $name }}
  namespace: {{ .ctx.Release.Namespace }}
  labels:
    {{- include "lib.labels" $labels | nindent 4 }}
spec:
  replicas: {{ .replicas }}
  serviceName: prometheus-{{ .app }}
  podManagementPolicy: Parallel
  selector:
    matchLabels:
      {{- include "lib.selectorLabels" $labels | nindent 6 }}
  template:
    metadata:
      labels:
        {{- include "lib.selectorLabels" $labels | nindent 8 }}
      annotations:
        checksum/config: {{ .config | sha256sum }}
        {{- include "lib.scrape" (dict "port" 9090) | nindent 8 }}
    spec:
      serviceAccountName: prometheus-{{ .app }}
      automountServiceAccountToken: {{ .token }}
      securityContext:
        {{- include "lib.podSecurityContext" .ctx | nindent 8 }}
        runAsUser: 65534
        runAsGroup: 65534
        fsGroup: 65534
        fsGroupChangePolicy: OnRootMismatch
      {{- include "lib.tolerations" (dict "ctx" .ctx "role" "system") | nindent 6 }}
      {{- with include "lib.nodeSelector" (dict "ctx" .ctx "role" "system") }}
      {{- . | nindent 6 }}
      {{- end }}
      {{- if gt (int .replicas) 1 }}
      {{- with include "lib.spread" $labels }}
      {{- . | nindent 6 }}
      {{- end }}
      {{- end }}
      # Closing the head block cleanly saves replaying the write-ahead log at the next start.
      terminationGracePeriodSeconds: 300
      containers:
        - name: prometheus
          image: {{ include "prometheus.image" (dict "ctx" .ctx "of" "prometheus") }}
          args:
            - --config.file=/etc/prometheus/prometheus.yaml
            - --storage.tsdb.path=/prometheus
            {{- if include "prometheus.exposed" .ctx }}
            - --web.external-url={{ include "prometheus.scheme" .ctx }}://{{ include "lib.host" (dict "ctx" .ctx "name" (eq .app "main" | ternary "prometheus" (printf "prometheus-%s" .app))) }}/
            {{- end }}
            {{- range .args }}
            - {{ . }}
            {{- end }}
          ports:
            - name: http
              containerPort: 9090
          startupProbe: # replaying the write-ahead log may take minutes
            httpGet: {path: /-/ready, port: http}
            periodSeconds: 10
            failureThreshold: 90
          readinessProbe:
            httpGet: {path: /-/ready, port: http}
            periodSeconds: 5
            timeoutSeconds: 3
          livenessProbe:
            httpGet: {path: /-/healthy, port: http}
            periodSeconds: 10
            timeoutSeconds: 5
            failureThreshold: 6
          securityContext:
            {{- include "lib.securityContext" .ctx | nindent 12 }}
          resources:
            {{- toYaml .resources | nindent 12 }}
          volumeMounts:
            - name: config
              mountPath: /etc/prometheus
              readOnly: true
            {{- if .rules }}
            - name: rules
              mountPath: /etc/prometheus-rules
              readOnly: true
            {{- end }}
            - name: data
              mountPath: /prometheus
              subPath: prometheus # beside lost+found, not in it
      volumes:
        - name: config
          configMap:
            name: prometheus-{{ .app }}
        {{- if .rules }}
        - name: rules
          configMap:
            name: prometheus-{{ .app }}-rules
        {{- end }}
        {{- if not $class }}
        - name: data
          emptyDir:
            sizeLimit: {{ .size }}
        {{- end }}
  {{- if $class }}
  volumeClaimTemplates: # the claims exist before; this only names them and never changes
    - apiVersion: v1
      kind: PersistentVolumeClaim
      metadata:
        name: data
      spec:
        accessModes: [ReadWriteOnce]
        storageClassName: {{ $class | quote }}
        resources:
          requests:
            storage: 1Gi
  {{- end }}
{{- end -}}
