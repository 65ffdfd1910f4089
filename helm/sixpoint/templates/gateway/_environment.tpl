{{- /* Whether database and blobs are both elsewhere, so that gateways keep nothing: "true" or empty. */ -}}
{{- define "sixpoint.gateway.stateless" -}}
{{- if and .Values.database.existingSecret .Values.blobs.url }}true{{ end }}
{{- end }}

{{- /* Whether the file of tokens is used, which also admits certificates: "true" or empty. */ -}}
{{- define "sixpoint.gateway.readsTokens" -}}
{{- if or (contains "tokens" .Values.auth.mode) (contains "mtls" .Values.auth.mode) }}true{{ end }}
{{- end }}

{{- define "sixpoint.gateway.tlsSecret" -}}
{{- .Values.tls.secretName | default (printf "%s-tls" (include "sixpoint.component" (dict "root" . "component" "gateway"))) }}
{{- end }}

{{- define "sixpoint.gateway.tritonUrl" -}}
{{- if .Values.triton.enabled -}}
dns:///{{ include "sixpoint.host" (dict "root" . "component" "triton") }}:8001
{{- else -}}
{{ .Values.triton.external.url }}
{{- end }}
{{- end }}

{{- /* Settings that follow from other values, each with what to set instead. */ -}}
{{- define "sixpoint.gateway.managed" -}}
auth: auth.mode
blobs_url: blobs.url
cache_folder: gateway.cache or gateway.persistence
database_url: database.existingSecret
dicomweb_token: viewers.dicomweb.token.existingSecret
dicomweb_url: viewers.dicomweb.url
drain_notice_seconds: gateway.drain.noticeSeconds
drain_seconds: gateway.drain.seconds
health_port: nothing, the chart uses 50052
http_port: viewers.enabled
https_port: viewers.enabled
insecure: auth.insecure
oidc_audience: auth.oidc.audience
oidc_issuer: auth.oidc.issuer
oidc_roles_claim: auth.oidc.rolesClaim
oidc_tenant_claim: auth.oidc.tenantClaim
path_tokens: viewers.pathTokens
port: gateway.service.port
proxy_names: auth.proxyNames
state_folder: gateway.persistence
status_port: nothing, the chart uses 9090
tls_cert_file: tls.mode
tls_client_ca_file: tls.clientCa.existingSecret
tls_key_file: tls.mode
tokens_file: auth.tokens.existingSecret
traces_url: monitoring.tracesUrl
triton_environment: triton.image
triton_grpc_port: nothing, the chart uses 8001
triton_key: triton.controlKey.existingSecret
triton_metrics_port: nothing, the chart uses 8002
triton_model_repository: triton.modelRepository
triton_url: triton.enabled or triton.external.url
{{- end }}

{{- /* The environment of a gateway, without secrets: variables by their names. */ -}}
{{- define "sixpoint.gateway.environment" -}}
{{- $values := .Values }}
{{- $own := dict
  "host" "0.0.0.0"
  "port" "50051"
  "health_port" "50052"
  "status_port" "9090"
  "log_format" "json"
  "state_folder" "/var/lib/sixpoint/state"
  "triton_url" (include "sixpoint.gateway.tritonUrl" .)
  "drain_notice_seconds" (include "sixpoint.text" $values.gateway.drain.noticeSeconds)
  "drain_seconds" (include "sixpoint.text" $values.gateway.drain.seconds)
  "auth" $values.auth.mode }}
{{- /* The guards ask for auth.insecure where this is no longer the cluster's own business. */ -}}
{{- if or (eq $values.auth.mode "none") (eq $values.tls.mode "none") }}{{ $_ := set $own "insecure" "true" }}{{ end }}
{{- if include "sixpoint.gateway.readsTokens" . }}{{ $_ := set $own "tokens_file" "/run/secrets/sixpoint/tokens" }}{{ end }}
{{- with include "sixpoint.traces" . }}{{ $_ := set $own "traces_url" . }}{{ end }}
{{- if $values.viewers.enabled }}{{ $_ := set $own (ternary "http_port" "https_port" (eq $values.tls.mode "none")) "8443" }}{{ end }}
{{- with $values.viewers.dicomweb.url }}{{ $_ := set $own "dicomweb_url" . }}{{ end }}
{{- if $values.viewers.dicomweb.token.existingSecret }}{{ $_ := set $own "dicomweb_token_file" "/run/secrets/sixpoint/dicomweb-token" }}{{ end }}
{{- if $values.viewers.pathTokens }}{{ $_ := set $own "path_tokens" "true" }}{{ end }}
{{- with $values.auth.proxyNames }}{{ $_ := set $own "proxy_names" (join "," .) }}{{ end }}
{{- if contains "oidc" $values.auth.mode }}
{{- range $key, $name := dict "issuer" "oidc_issuer" "audience" "oidc_audience" "rolesClaim" "oidc_roles_claim" "tenantClaim" "oidc_tenant_claim" }}
{{- with index $values.auth.oidc $key }}{{ $_ := set $own $name . }}{{ end }}
{{- end }}
{{- end }}
{{- with $values.database.existingSecret }}{{ $_ := set $own "database_url_file" "/run/secrets/sixpoint/database-url" }}{{ end }}
{{- with $values.blobs.url }}{{ $_ := set $own "blobs_url" . }}{{ end }}
{{- with $values.triton.controlKey.existingSecret }}{{ $_ := set $own "triton_key_file" "/run/secrets/sixpoint/triton-key" }}{{ end }}
{{- if ne $values.tls.mode "none" }}
{{- $_ := set $own "tls_cert_file" "/run/tls/tls.crt" }}
{{- $_ := set $own "tls_key_file" "/run/tls/tls.key" }}
{{- with $values.tls.clientCa.existingSecret }}{{ $_ := set $own "tls_client_ca_file" "/run/secrets/sixpoint/client-ca.crt" }}{{ end }}
{{- end }}
{{- /* Workers are pods of their own. */}}
{{- $_ := set $own "job_workers" "0" }}
{{- range $name, $value := mergeOverwrite $own (deepCopy $values.gateway.settings) -}}
SIXPOINT_{{ upper $name }}: {{ include "sixpoint.text" $value | quote }}
{{ end }}
{{- if $values.blobs.existingSecret }}
{{- range $values.blobs.secretKeys -}}
{{ . }}_FILE: /run/secrets/sixpoint/{{ . }}
{{ end }}
{{- end }}
{{- range $name, $value := $values.blobs.env -}}
{{ $name }}: {{ $value | quote }}
{{ end }}
{{- end }}
