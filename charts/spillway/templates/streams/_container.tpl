{{/* The DRA driver beside the agent. A container of its own: it cannot load programs, and what a hostile ring does to it stays in it. */}}
{{- define "spillway.streamsContainer" -}}
{{- if eq (int .Values.metrics.port) (int .Values.streams.metricsPort) }}
{{- fail "streams.metricsPort is the same as metrics.port: both containers share the node's network" }}
{{- end -}}
- name: streams
  image: {{ include "spillway.image" (dict "root" . "image" .Values.dataplane.image) | quote }}
  imagePullPolicy: {{ .Values.image.pullPolicy }}
  args: [streams]
  env:
    - {name: NODE_NAME, valueFrom: {fieldRef: {fieldPath: spec.nodeName}}}
    - {name: NODE_IP, valueFrom: {fieldRef: {fieldPath: status.hostIPs}}}
    - {name: POD_NAME, valueFrom: {fieldRef: {fieldPath: metadata.name}}}
    - {name: POD_NAMESPACE, valueFrom: {fieldRef: {fieldPath: metadata.namespace}}}
    - {name: POD_UID, valueFrom: {fieldRef: {fieldPath: metadata.uid}}}
    - {name: SPILLWAY_STREAMS_CONFIG, value: /etc/spillway/streams.json}
    - {name: SPILLWAY_KUBELET_DIR, value: {{ .Values.kubeletDir }}}
    - {name: SPILLWAY_STREAMS_METRICS_PORT, value: {{ .Values.streams.metricsPort | quote }}}
    # Rings whose frames do not fit beside the others are refused, before the kernel has to kill somebody.
    - {name: SPILLWAY_MEMORY_LIMIT, valueFrom: {resourceFieldRef: {resource: limits.memory}}}
  startupProbe:
    httpGet: {path: /healthz, port: {{ .Values.streams.metricsPort }}}
    periodSeconds: 1
    failureThreshold: 120
  livenessProbe:
    httpGet: {path: /healthz, port: {{ .Values.streams.metricsPort }}}
    periodSeconds: 10
    timeoutSeconds: 5
    failureThreshold: 6
  readinessProbe:
    httpGet: {path: /readyz, port: {{ .Values.streams.metricsPort }}}
    periodSeconds: 2
    timeoutSeconds: 5
  resources:
    {{- toYaml .Values.streams.resources | nindent 4 }}
  securityContext:
    runAsUser: 0
    privileged: false
    allowPrivilegeEscalation: false
    readOnlyRootFilesystem: true
    capabilities:
      drop: [ALL]
      add: [NET_RAW, NET_ADMIN, IPC_LOCK]
    seccompProfile:
      {{- toYaml .Values.dataplane.seccompProfile | nindent 6 }}
    {{- with .Values.dataplane.appArmorProfile }}
    appArmorProfile:
      {{- toYaml . | nindent 6 }}
    {{- end }}
  volumeMounts:
    # At the host's own paths: kubelet and the container runtime are told paths.
    - {name: queue-plugin, mountPath: {{ include "spillway.pluginDir" . }}}
    - {name: plugin-registry, mountPath: {{ .Values.kubeletDir }}/plugins_registry}
    - {name: cdi, mountPath: /var/run/cdi}
    - {name: streams, mountPath: /etc/spillway, readOnly: true}
    - {name: tmp, mountPath: /tmp}
{{- end }}

{{- define "spillway.streamsVolumes" -}}
- {name: queue-plugin, hostPath: {path: {{ include "spillway.pluginDir" . }}, type: DirectoryOrCreate}}
- {name: plugin-registry, hostPath: {path: {{ .Values.kubeletDir }}/plugins_registry, type: Directory}}
- {name: cdi, hostPath: {path: /var/run/cdi, type: DirectoryOrCreate}}
- {name: streams, configMap: {name: spillway-streams}}
{{- end }}

{{- define "spillway.pluginDir" -}}
{{ .Values.kubeletDir }}/plugins/{{ include "spillway.queueDriver" . }}
{{- end }}
