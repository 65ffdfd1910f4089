{{- define "sixpoint.gateway.pod" -}}
{{- $gateway := .Values.gateway }}
{{- $annotations := dict "checksum/environment" (include "sixpoint.gateway.environment" . | sha256sum) }}
{{- $ends := add $gateway.drain.noticeSeconds $gateway.drain.seconds 15 }}
{{- $context := dict "root" . "component" "gateway" "pod" $gateway.pod "annotations" $annotations "grace" $ends }}
{{- $_ := set $context "account" (include "sixpoint.account" (dict "root" . "component" "gateway" "account" $gateway.serviceAccount)) }}
{{- $_ := set $context "containers" (include "sixpoint.gateway.container" .) }}
{{- $_ := set $context "volumes" (include "sixpoint.gateway.volumes" .) }}
{{- include "sixpoint.pod" $context }}
{{- end }}

{{- define "sixpoint.gateway.container" -}}
{{- $gateway := .Values.gateway -}}
- name: gateway
  image: {{ include "sixpoint.image" (dict "root" . "image" $gateway.image) }}
  imagePullPolicy: {{ $gateway.image.pullPolicy }}
  command: [gateway, serve]
  ports:
    - name: grpc
      containerPort: 50051
    - name: health
      containerPort: 50052
    - name: status
      containerPort: 9090
    {{- if .Values.viewers.enabled }}
    - name: viewers
      containerPort: 8443
    {{- end }}
  # The health port has no TLS. Without a service it tells whether prompts can be answered; that of images, whether the
  # process lives.
  startupProbe:
    grpc:
      port: 50052
      service: sixpoint.v1.ImageService
    periodSeconds: {{ $gateway.probes.periodSeconds }}
    failureThreshold: {{ divf $gateway.probes.startupSeconds $gateway.probes.periodSeconds | ceil | int }}
  livenessProbe:
    grpc:
      port: 50052
      service: sixpoint.v1.ImageService
    periodSeconds: {{ $gateway.probes.periodSeconds }}
    timeoutSeconds: 5
    failureThreshold: {{ mul 4 $gateway.probes.failureThreshold }}
    # What hangs does not drain.
    terminationGracePeriodSeconds: {{ add $gateway.drain.noticeSeconds 10 }}
  readinessProbe:
    grpc:
      port: 50052
    periodSeconds: {{ $gateway.probes.periodSeconds }}
    timeoutSeconds: 3
    failureThreshold: {{ $gateway.probes.failureThreshold }}
  {{- $context := dict "pod" $gateway.pod }}
  {{- $_ := set $context "env" (include "sixpoint.gateway.workers" .) }}
  {{- $_ := set $context "envFrom" (include "sixpoint.gateway.envFrom" .) }}
  {{- $_ := set $context "mounts" (include "sixpoint.gateway.mounts" .) }}
  {{- include "sixpoint.container" $context | nindent 2 }}
{{- end }}

{{- define "sixpoint.gateway.workers" -}}
{{- if not (hasKey .Values.gateway.settings "workers") -}}
# Otherwise as many as the node has cores.
- name: SIXPOINT_WORKERS
  valueFrom:
    resourceFieldRef:
      containerName: gateway
      resource: limits.cpu
{{- end }}
{{- end }}

{{- define "sixpoint.gateway.envFrom" -}}
- configMapRef:
    name: {{ include "sixpoint.component" (dict "root" . "component" "gateway") }}
{{- end }}

{{- define "sixpoint.gateway.mounts" -}}
- name: state
  mountPath: /var/lib/sixpoint
{{- if include "sixpoint.gateway.secrets" . }}
- name: secrets
  mountPath: /run/secrets/sixpoint
  readOnly: true
{{- end }}
{{- if ne .Values.tls.mode "none" }}
- name: tls
  mountPath: /run/tls
  readOnly: true
{{- end }}
{{- end }}

{{- define "sixpoint.gateway.volumes" -}}
{{- if not (include "sixpoint.gateway.stateless" .) }}
{{- with .Values.gateway.persistence.existingClaim -}}
- name: state
  persistentVolumeClaim:
    claimName: {{ . }}
{{- end }}
{{- else if .Values.gateway.cache.storageClassName -}}
- name: state
  ephemeral:
    volumeClaimTemplate:
      spec:
        accessModes: [ReadWriteOnce]
        storageClassName: {{ .Values.gateway.cache.storageClassName }}
        resources:
          requests:
            storage: {{ .Values.gateway.cache.size }}
{{- else -}}
- name: state
  emptyDir:
    sizeLimit: {{ .Values.gateway.cache.size }}
{{- end }}
{{- with include "sixpoint.gateway.secrets" . }}
- name: secrets
  projected:
    defaultMode: 0440
    sources:
      {{- trim . | nindent 6 }}
{{- end }}
{{- if ne .Values.tls.mode "none" }}
- name: tls
  secret:
    secretName: {{ include "sixpoint.gateway.tlsSecret" . }}
    defaultMode: 0440
{{- end }}
{{- end }}

{{- /* Secrets as files of one volume. */ -}}
{{- define "sixpoint.gateway.secrets" -}}
{{- $files := dict "database-url" .Values.database "triton-key" .Values.triton.controlKey "dicomweb-token" .Values.viewers.dicomweb.token }}
{{- if include "sixpoint.gateway.readsTokens" . }}{{ $_ := set $files "tokens" .Values.auth.tokens }}{{ end }}
{{- if ne .Values.tls.mode "none" }}{{ $_ := set $files "client-ca.crt" .Values.tls.clientCa }}{{ end }}
{{- range $file, $secret := $files }}
{{- if $secret.existingSecret }}
- secret:
    name: {{ $secret.existingSecret }}
    items:
      - key: {{ $secret.key }}
        path: {{ $file }}
{{- end }}
{{- end }}
{{- with .Values.blobs }}
{{- if .existingSecret }}
- secret:
    name: {{ .existingSecret }}
    items:
      {{- range .secretKeys }}
      - key: {{ . }}
        path: {{ . }}
      {{- end }}
{{- end }}
{{- end }}
{{- end }}
