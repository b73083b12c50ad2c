{{/*
Placement helpers print a whole field with its key, or nothing; the security contexts print the body of the field.
*/}}

{{/*
lib.tolerations (dict "ctx" $ "role" "ingress"|"system"|"any")
A role tolerates the taint `dedicated=<role>` of any effect; "any" tolerates every taint (for node agents). "system" also
tolerates control-plane nodes, which is where small clusters have room for it.
*/}}
{{- define "lib.tolerations" -}}
tolerations:
{{- if eq .role "any" }}
  - operator: Exists
{{- else }}
  - key: dedicated
    operator: Equal
    value: {{ .role }}
{{- if eq .role "system" }}
  - key: node-role.kubernetes.io/control-plane
    operator: Exists
{{- end }}
{{- end }}
{{- end -}}

{{/*
lib.nodeSelector (dict "ctx" $ "role" "ingress")
Binds a pod to the nodes labelled `dedicated=<role>`, only where nodes of that role were discovered.
*/}}
{{- define "lib.nodeSelector" -}}
{{- if gt (include "lib.roleCount" . | int) 0 -}}
nodeSelector:
  dedicated: {{ .role }}
{{- end -}}
{{- end -}}

{{/*
lib.spread (dict "ctx" $ "app" "controller")
With several replicas: keep the pods of a component on different nodes where possible.
*/}}
{{- define "lib.spread" -}}
{{- if include "lib.ha" .ctx -}}
affinity:
  podAntiAffinity:
    preferredDuringSchedulingIgnoredDuringExecution:
      - weight: 100
        podAffinityTerm:
          topologyKey: kubernetes.io/hostname
          labelSelector:
            matchLabels:
              {{- include "lib.selectorLabels" . | nindent 14 }}
{{- end -}}
{{- end -}}

{{/*
lib.pdb (dict "ctx" $ "app" "controller" "name" "cert-manager" "maxUnavailable" 1)
A PodDisruptionBudget for the pods of a component. name defaults to <module>-<app>; maxUnavailable (a count or a percentage)
to 1, unless minAvailable is given. minAvailable 1 over one replica blocks every drain. Of a DaemonSet's pods only
minAvailable, as a count, can be demanded: the controller cannot ask a DaemonSet for its scale.
*/}}
{{- define "lib.pdb" -}}
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata:
  name: {{ .name | default (printf "%s-%s" .ctx.Chart.Name .app) }}
  namespace: {{ .ctx.Release.Namespace }}
  labels:
    {{- include "lib.labels" (dict "ctx" .ctx "app" .app) | nindent 4 }}
spec:
  {{- if hasKey . "minAvailable" }}
  minAvailable: {{ .minAvailable }}
  {{- else }}
  maxUnavailable: {{ .maxUnavailable | default 1 }}
  {{- end }}
  unhealthyPodEvictionPolicy: AlwaysAllow
  selector:
    matchLabels:
      {{- include "lib.selectorLabels" (dict "ctx" .ctx "app" .app) | nindent 6 }}
{{- end -}}

{{/*
lib.podSecurityContext $
*/}}
{{- define "lib.podSecurityContext" -}}
runAsNonRoot: true
seccompProfile:
  type: RuntimeDefault
{{- end -}}

{{/*
lib.securityContext $
Of a container: fits the Pod Security level "restricted".
*/}}
{{- define "lib.securityContext" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
runAsNonRoot: true
capabilities:
  drop: [ALL]
seccompProfile:
  type: RuntimeDefault
{{- end -}}
