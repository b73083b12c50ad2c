{{/*
prometheus.kubeStateResources: what kube-state-metrics describes, by API group; both its --resources flag and its ClusterRole
are made of it. Neither Secrets nor ConfigMaps.
*/}}
{{- define "prometheus.kubeStateResources" -}}
"": [limitranges, namespaces, nodes, persistentvolumeclaims, persistentvolumes, pods, resourcequotas, services]
apps: [daemonsets, deployments, replicasets, statefulsets]
autoscaling: [horizontalpodautoscalers]
batch: [cronjobs, jobs]
networking.k8s.io: [ingresses]
policy: [poddisruptionbudgets]
storage.k8s.io: [storageclasses]
{{- end -}}
