{{- /* Egress rules: names are resolved on port 53, on OpenShift on 5353. */ -}}
{{- define "sixpoint.egress.dns" -}}
- ports:
    {{- range $port := list 53 5353 }}
    {{- range list "UDP" "TCP" }}
    - {protocol: {{ . }}, port: {{ $port }}}
    {{- end }}
    {{- end }}
{{- end }}

{{- define "sixpoint.egress.triton" -}}
- to:
    - podSelector:
        matchLabels:
          {{- include "sixpoint.selector" (dict "root" . "component" "triton") | nindent 10 }}
  ports:
    - {protocol: TCP, port: 8001}
{{- end }}

{{- /* The port at the end of an address; empty if it has none. */ -}}
{{- define "sixpoint.port" -}}
{{- regexFind ":[0-9]+$" . | trimPrefix ":" }}
{{- end }}

{{- /* TCP ports to any address. */ -}}
{{- define "sixpoint.egress.ports" -}}
{{- with . -}}
- ports:
    {{- range . }}
    - {protocol: TCP, port: {{ . }}}
    {{- end }}
{{- end }}
{{- end }}

{{- /* What Tritons may reach. */ -}}
{{- define "sixpoint.egress.models" -}}
{{- $bucket := eq .Values.triton.modelRepository.kind "s3" }}
{{- if eq .Values.networkPolicy.egress.mode "open" -}}
- {}
{{- else if or $bucket .Values.monitoring.tracesUrl -}}
{{- include "sixpoint.egress.dns" . }}
{{- if $bucket }}
{{ include "sixpoint.egress.ports" .Values.networkPolicy.egress.ports }}
{{- end }}
{{- with include "sixpoint.egress.traces" . }}
{{ . }}
{{- end }}
{{- else -}}
[]
{{- end }}
{{- end }}

{{- /* The collector for traces. */ -}}
{{- define "sixpoint.egress.traces" -}}
{{- with .Values.monitoring.tracesUrl }}
{{- $host := index (splitList "/" .) 2 }}
{{- include "sixpoint.egress.ports" (list (include "sixpoint.port" $host | default (ternary "443" "80" (hasPrefix "https" .)))) }}
{{- end }}
{{- end }}

{{- /* What gateways, and workers beside them, may reach. */ -}}
{{- define "sixpoint.egress.gateway" -}}
{{- $values := .Values }}
{{- if eq $values.networkPolicy.egress.mode "open" -}}
- {}
{{- else -}}
{{- include "sixpoint.egress.dns" . }}
{{- if $values.triton.enabled }}
{{ include "sixpoint.egress.triton" . }}
{{- else }}
{{- $ports := list }}
{{- range splitList "," $values.triton.external.url }}
{{- $ports = append $ports (include "sixpoint.port" .) }}
{{- end }}
{{ include "sixpoint.egress.ports" (compact $ports | uniq) }}
{{- end }}
{{- if or $values.database.existingSecret $values.blobs.url (contains "oidc" $values.auth.mode) }}
{{ include "sixpoint.egress.ports" $values.networkPolicy.egress.ports }}
{{- end }}
{{- with include "sixpoint.egress.traces" . }}
{{ . }}
{{- end }}
{{- with $values.viewers.dicomweb.url }}
{{- $host := index (splitList "/" .) 2 }}
{{ include "sixpoint.egress.ports" (list (include "sixpoint.port" $host | default (ternary "443" "80" (hasPrefix "https" .)))) }}
{{- end }}
{{- with $values.networkPolicy.egress.rules }}
{{ toYaml . }}
{{- end }}
{{- end }}
{{- end }}
