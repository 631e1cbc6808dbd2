{{/* Names are fixed and not the release's: a node has one dataplane, so a second release must collide and be refused. */}}

{{- define "spillway.selectorLabels" -}}
app.kubernetes.io/name: spillway
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end }}

{{- define "spillway.labels" -}}
{{ include "spillway.selectorLabels" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" }}
{{- end }}

{{/* The label that the operator puts on nodes that need an agent; a kubelet cannot set it on its own node. */}}
{{- define "spillway.nodeLabel" -}}
dataplane.spillway.node-restriction.kubernetes.io/wanted
{{- end }}

{{- define "spillway.image" -}}
{{- $ref := printf "%s/%s" (trimSuffix "/" .root.Values.image.registry) .image.repository -}}
{{- if .image.digest -}}
{{ $ref }}@{{ .image.digest }}
{{- else -}}
{{ $ref }}:{{ .root.Values.image.tag | default .root.Chart.AppVersion }}
{{- end -}}
{{- end }}

{{/* The user's affinity; the images' architectures are and-ed to each required node term, for terms are or-ed. */}}
{{- define "spillway.affinity" -}}
{{- $affinity := deepCopy (.affinity | default dict) -}}
{{- $node := get $affinity "nodeAffinity" | default dict -}}
{{- $required := get $node "requiredDuringSchedulingIgnoredDuringExecution" | default dict -}}
{{- $arch := dict "key" "kubernetes.io/arch" "operator" "In" "values" .root.Values.image.architectures -}}
{{- $terms := list -}}
{{- range (get $required "nodeSelectorTerms" | default (list dict)) -}}
{{- $expressions := append (get . "matchExpressions" | default list) $arch -}}
{{- $terms = append $terms (set . "matchExpressions" $expressions) -}}
{{- end -}}
{{- $_ := set $node "requiredDuringSchedulingIgnoredDuringExecution" (dict "nodeSelectorTerms" $terms) -}}
{{- toYaml (set $affinity "nodeAffinity" $node) -}}
{{- end }}

{{/* What the operator reads, as JSON. standby.nodeSelector is absent, and so null here, when the user set it to null. */}}
{{- define "spillway.config" -}}
{{- $standby := dict "nodeSelector" .Values.standby.nodeSelector "attach" .Values.standby.attach -}}
{{- $flows := prepend .Values.failsafe.flows "neighbour-discovery" -}}
{{- $failsafe := set (deepCopy .Values.failsafe) "flows" $flows -}}
{{- $source := dict "name" (include "spillway.image" (dict "root" . "image" .Values.dataplane.image)) "pullPolicy" .Values.image.pullPolicy -}}
{{- dict "disruption" .Values.disruption "failsafe" $failsafe "standby" $standby "streams" (dict "grants" .Values.streams.grants "sourceImage" $source) "uninstall" .Values.uninstall | toPrettyJson -}}
{{- end }}

{{/* The DRA driver's name, and the end of its classes' names. */}}
{{- define "spillway.queueDriver" -}}
tx-queue.spillway.dev
{{- end }}

{{/* Not empty where streams are wanted and possible: DRA is in resource.k8s.io/v1, from Kubernetes 1.34 on. `helm template` knows no
     cluster and takes it for served, so the version is asked for too. */}}
{{- define "spillway.streams" -}}
{{- if and .Values.streams.grants (include "spillway.serves" .) }}true{{ end -}}
{{- end }}

{{- define "spillway.serves" -}}
{{- if and (.Capabilities.APIVersions.Has "resource.k8s.io/v1") (semverCompare ">=1.34-0" .Capabilities.KubeVersion.Version) }}true{{ end -}}
{{- end }}

{{/* Namespaces that may have queues, each once, as a JSON list. */}}
{{- define "spillway.streamNamespaces" -}}
{{- $found := list -}}
{{- range .Values.streams.grants }}{{ $found = concat $found .namespaces }}{{ end -}}
{{- $found | uniq | sortAlpha | toJson -}}
{{- end }}

{{/* Everything that a pod of the operator's image shares: the Deployment's and the hook jobs'. Fits the restricted profile. */}}
{{- define "spillway.operatorPod" -}}
{{- with .Values.image.pullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
enableServiceLinks: false
securityContext:
  runAsNonRoot: true
  runAsUser: 65532
  runAsGroup: 65532
  seccompProfile: {type: RuntimeDefault}
nodeSelector:
  {{- toYaml (merge (dict "kubernetes.io/os" "linux") (.Values.operator.nodeSelector | default dict)) | nindent 2 }}
{{- with .Values.operator.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{- define "spillway.operatorContainer" -}}
image: {{ include "spillway.image" (dict "root" . "image" .Values.operator.image) | quote }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities: {drop: [ALL]}
{{- end }}

{{- define "spillway.operatorEnv" -}}
- {name: POD_NAME, valueFrom: {fieldRef: {fieldPath: metadata.name}}}
- {name: POD_NAMESPACE, valueFrom: {fieldRef: {fieldPath: metadata.namespace}}}
- {name: POD_UID, valueFrom: {fieldRef: {fieldPath: metadata.uid}}}
- {name: SPILLWAY_CONFIG, value: /etc/spillway/config.json}
{{- /* kopf asks who runs it, and no image has a name for every user number. */}}
- {name: USER, value: spillway}
{{- end }}
