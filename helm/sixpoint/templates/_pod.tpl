{{- /*
The standard pod: everything that all pods have in common, and what the values' pod block adds.
(dict "root" $ "component" "gateway" "pod" .Values.gateway.pod "account" "name" "containers" "..." "init" "..."
 "volumes" "..." "grace" 30 "restart" "Always" "annotations" (dict) "gpu" .Values.triton.gpu)
*/ -}}
{{- define "sixpoint.pod" -}}
{{- $pod := .pod -}}
metadata:
  labels:
    {{- include "sixpoint.selector" . | nindent 4 }}
    {{- with merge (dict) $pod.labels .root.Values.commonLabels }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  {{- with merge (dict) (.annotations | default dict) $pod.annotations }}
  annotations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
spec:
  serviceAccountName: {{ .account }}
  automountServiceAccountToken: false
  # A Service named sixpoint would otherwise set SIXPOINT_PORT in every pod of the namespace.
  enableServiceLinks: false
  {{- with .restart }}
  restartPolicy: {{ . }}
  {{- end }}
  {{- with .grace }}
  terminationGracePeriodSeconds: {{ . }}
  {{- end }}
  {{- with .root.Values.global.imagePullSecrets }}
  imagePullSecrets:
    {{- range . }}
    - name: {{ . }}
    {{- end }}
  {{- end }}
  {{- with .runtimeClass }}
  runtimeClassName: {{ . }}
  {{- end }}
  {{- with $pod.priorityClassName }}
  priorityClassName: {{ . }}
  {{- end }}
  {{- with merge (dict) $pod.nodeSelector (.nodeSelector | default dict) }}
  nodeSelector:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with concat (.tolerations | default list) $pod.tolerations }}
  tolerations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $pod.affinity }}
  affinity:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- if not .restart }}
  topologySpreadConstraints:
    {{- $near := dict "maxSkew" 1 "topologyKey" "kubernetes.io/hostname" "whenUnsatisfiable" "ScheduleAnyway" }}
    {{- $selector := dict "labelSelector" (dict "matchLabels" (include "sixpoint.selector" . | fromYaml)) }}
    {{- range $pod.topologySpreadConstraints | default (list $near) }}
    - {{ toYaml (merge (dict) . $selector) | nindent 6 | trim }}
    {{- end }}
  {{- end }}
  securityContext:
    {{- include "sixpoint.podSecurity" . | nindent 4 }}
  {{- with .init }}
  initContainers:
    {{- . | nindent 4 }}
  {{- end }}
  containers:
    {{- .containers | nindent 4 }}
  volumes:
    # The root of containers is read-only.
    - name: tmp
      emptyDir: {}
    {{- with .volumes }}
    {{- . | nindent 4 }}
    {{- end }}
    {{- with $pod.extraVolumes }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
{{- end }}

{{- define "sixpoint.podSecurity" -}}
{{- $base := dict "runAsNonRoot" true "fsGroupChangePolicy" "OnRootMismatch" "seccompProfile" (dict "type" "RuntimeDefault") }}
{{- $user := dict "runAsUser" 10001 "runAsGroup" 10001 "fsGroup" 10001 }}
{{- $own := merge $base (ternary (dict) $user .root.Values.global.openshift) }}
{{- toYaml (mergeOverwrite $own (deepCopy .pod.securityContext)) }}
{{- end }}

{{- define "sixpoint.containerSecurity" -}}
{{- $own := dict "allowPrivilegeEscalation" false "readOnlyRootFilesystem" true "runAsNonRoot" true "capabilities" (dict "drop" (list "ALL")) }}
{{- toYaml (mergeOverwrite $own (deepCopy .containerSecurityContext)) }}
{{- end }}

{{- /* The end of a main container: what the pod block adds. (dict "pod" ... "mounts" "..." "env" "..." "envFrom" "...") */ -}}
{{- define "sixpoint.container" -}}
{{- $pod := .pod -}}
env:
  - name: HOME
    value: /tmp
  {{- with .env }}
  {{- . | nindent 2 }}
  {{- end }}
  {{- with $pod.extraEnv }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- if or .envFrom $pod.extraEnvFrom }}
envFrom:
  {{- with .envFrom }}
  {{- . | nindent 2 }}
  {{- end }}
  {{- with $pod.extraEnvFrom }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end }}
{{- with .resources | default $pod.resources }}
resources:
  {{- toYaml . | nindent 2 }}
{{- end }}
securityContext:
  {{- include "sixpoint.containerSecurity" $pod | nindent 2 }}
volumeMounts:
  - name: tmp
    mountPath: /tmp
  {{- with .mounts }}
  {{- . | nindent 2 }}
  {{- end }}
  {{- with $pod.extraVolumeMounts }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end }}
