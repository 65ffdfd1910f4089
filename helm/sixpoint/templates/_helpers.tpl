{{- /* Names, labels, images: `include` them with the root, or with (dict "root" $ "component" "gateway"). */ -}}

{{- define "sixpoint.name" -}}
{{- .Values.nameOverride | default .Chart.Name | trunc 40 | trimSuffix "-" }}
{{- end }}

{{- define "sixpoint.fullname" -}}
{{- $name := include "sixpoint.name" . }}
{{- $full := ternary .Release.Name (printf "%s-%s" .Release.Name $name) (contains $name .Release.Name) }}
{{- .Values.fullnameOverride | default $full | trunc 40 | trimSuffix "-" }}
{{- end }}

{{- define "sixpoint.component" -}}
{{- printf "%s-%s" (include "sixpoint.fullname" .root) .component }}
{{- end }}

{{- define "sixpoint.selector" -}}
app.kubernetes.io/name: {{ include "sixpoint.name" .root }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end }}

{{- define "sixpoint.labels" -}}
{{- include "sixpoint.selector" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/part-of: sixpoint
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" }}
{{- with .root.Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- /* Name, namespace and labels of an object; its name may have a suffix. */ -}}
{{- define "sixpoint.metadata" -}}
name: {{ include "sixpoint.component" . }}{{ .suffix }}
namespace: {{ .root.Release.Namespace }}
labels:
  {{- include "sixpoint.labels" . | nindent 2 }}
  {{- with .labels }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end }}

{{- define "sixpoint.image" -}}
{{- $registry := .root.Values.global.imageRegistry | default .image.registry }}
{{- $name := list $registry .image.repository | compact | join "/" }}
{{- if .image.digest }}{{ $name }}@{{ .image.digest }}{{ else }}{{ $name }}:{{ .image.tag | default .root.Chart.AppVersion }}{{ end }}
{{- end }}

{{- define "sixpoint.account" -}}
{{- $account := .account }}
{{- if $account.create }}{{ $account.name | default (include "sixpoint.component" .) }}{{ else }}{{ $account.name | default "default" }}{{ end }}
{{- end }}

{{- /* A value as an environment variable takes it: Helm reads numbers as floats, which would print as 2e+09. */ -}}
{{- define "sixpoint.text" -}}
{{- if and (kindIs "float64" .) (eq . (floor .)) }}{{ printf "%.0f" . }}{{ else }}{{ . }}{{ end }}
{{- end }}

{{- /* Host name of a Service of the release. */ -}}
{{- define "sixpoint.host" -}}
{{- printf "%s.%s.svc" (include "sixpoint.component" .) .root.Release.Namespace }}
{{- end }}

{{- /* The collector for traces, with OTLP's own path if the URL has none. */ -}}
{{- define "sixpoint.traces" -}}
{{- with .Values.monitoring.tracesUrl }}{{ ternary (printf "%s/v1/traces" (trimSuffix "/" .)) . (regexMatch "^https?://[^/]+/?$" .) }}{{ end }}
{{- end }}

{{- /* A PodDisruptionBudget's number. */ -}}
{{- define "sixpoint.budget" -}}
{{- if not (kindIs "invalid" .minAvailable) -}}
minAvailable: {{ include "sixpoint.text" .minAvailable }}
{{- else if not (kindIs "invalid" .maxUnavailable) -}}
maxUnavailable: {{ include "sixpoint.text" .maxUnavailable }}
{{- else -}}
maxUnavailable: 1
{{- end }}
{{- end }}
