{{- define "sixpoint.triton.pod" -}}
{{- $triton := .Values.triton }}
{{- $ends := add $triton.drain.noticeSeconds $triton.drain.seconds 15 }}
{{- $context := dict "root" . "component" "triton" "pod" $triton.pod "grace" $ends }}
{{- $_ := set $context "account" (include "sixpoint.account" (dict "root" . "component" "triton" "account" $triton.serviceAccount)) }}
{{- $_ := set $context "init" (include "sixpoint.triton.init" .) }}
{{- $_ := set $context "containers" (include "sixpoint.triton.container" .) }}
{{- $_ := set $context "volumes" (include "sixpoint.triton.volumes" .) }}
{{- if $triton.gpu.enabled }}
{{- $_ := set $context "runtimeClass" $triton.gpu.runtimeClassName }}
{{- $_ := set $context "tolerations" (list (dict "key" "nvidia.com/gpu" "operator" "Exists" "effect" "NoSchedule")) }}
{{- end }}
{{- include "sixpoint.pod" $context }}
{{- end }}

{{- /* Copies the shipped models, from the gateway's image. */ -}}
{{- define "sixpoint.triton.init" -}}
{{- $repository := .Values.triton.modelRepository }}
{{- if or (eq $repository.kind "image") (and (eq $repository.kind "pvc") $repository.pvc.seed) -}}
- name: models
  image: {{ include "sixpoint.image" (dict "root" . "image" .Values.gateway.image) }}
  imagePullPolicy: {{ .Values.gateway.image.pullPolicy }}
  command: [gateway, models, copy, /models]
  env:
    - name: HOME
      value: /tmp
  resources:
    requests:
      cpu: 100m
      memory: 256Mi
    limits:
      memory: 512Mi
  securityContext:
    {{- include "sixpoint.containerSecurity" .Values.triton.pod | nindent 4 }}
  volumeMounts:
    - name: tmp
      mountPath: /tmp
    - name: models
      mountPath: /models
{{- end }}
{{- end }}

{{- define "sixpoint.triton.container" -}}
{{- $triton := .Values.triton -}}
- name: triton
  image: {{ include "sixpoint.image" (dict "root" . "image" $triton.image) }}
  imagePullPolicy: {{ $triton.image.pullPolicy }}
  # Not the image's entry point, which wants to write to its root.
  command: [tritonserver]
  args:
    {{- include "sixpoint.triton.args" . | nindent 4 }}
  ports:
    - name: grpc
      containerPort: 8001
    - name: metrics
      containerPort: 8002
  # Health over gRPC: Triton answers once all models were tried, and one that fails must not take the others away.
  startupProbe:
    grpc:
      port: 8001
    periodSeconds: {{ $triton.probes.periodSeconds }}
    timeoutSeconds: 3
    failureThreshold: {{ divf $triton.probes.startupSeconds $triton.probes.periodSeconds | ceil | int }}
  livenessProbe:
    grpc:
      port: 8001
    periodSeconds: {{ $triton.probes.periodSeconds }}
    timeoutSeconds: 10
    failureThreshold: {{ mul 4 $triton.probes.failureThreshold }}
    # What hangs does not drain. The wait before SIGTERM counts.
    terminationGracePeriodSeconds: {{ add $triton.drain.noticeSeconds 10 }}
  readinessProbe:
    grpc:
      port: 8001
    periodSeconds: {{ $triton.probes.periodSeconds }}
    timeoutSeconds: 3
    failureThreshold: {{ $triton.probes.failureThreshold }}
  {{- if $triton.drain.noticeSeconds }}
  # Triton refuses new calls at once on SIGTERM: the gateways need a moment to notice that it left the Service.
  lifecycle:
    preStop:
      exec:
        command: [sleep, {{ include "sixpoint.text" $triton.drain.noticeSeconds | quote }}]
  {{- end }}
  {{- $context := dict "pod" $triton.pod }}
  {{- $_ := set $context "resources" (include "sixpoint.triton.resources" . | fromYaml) }}
  {{- $_ := set $context "env" (include "sixpoint.triton.env" .) }}
  {{- $_ := set $context "envFrom" (include "sixpoint.triton.envFrom" .) }}
  {{- $_ := set $context "mounts" (include "sixpoint.triton.mounts" .) }}
  {{- include "sixpoint.container" $context | nindent 2 }}
{{- end }}

{{- define "sixpoint.triton.args" -}}
{{- $triton := .Values.triton -}}
- --model-repository={{ ternary $triton.modelRepository.s3.uri "/models" (eq $triton.modelRepository.kind "s3") }}
- --model-control-mode=explicit
- --load-model=*
- --exit-on-error=false
- --strict-readiness=false
- --disable-auto-complete-config
- --grpc-port=8001
- --metrics-port=8002
# Nothing uses HTTP, and the key below would not guard it.
- --allow-http=false
- --metrics-address=0.0.0.0
- --exit-timeout-secs={{ $triton.drain.seconds }}
- --log-format=ISO8601
{{- if $triton.controlKey.existingSecret }}
# Whoever loads models runs code: they may be Python.
- --grpc-restricted-protocol=model-repository,shared-memory,trace,logging:sixpoint-key=$(SIXPOINT_TRITON_KEY)
{{- end }}
{{- with include "sixpoint.traces" . }}
# Only what the gateways trace, and never tensors, which are images.
- --trace-config=mode=opentelemetry
- --trace-config=rate=0
- --trace-config=level=TIMESTAMPS
- --trace-config=opentelemetry,url={{ . }}
- --trace-config=opentelemetry,resource=service.name=triton
- --trace-config=opentelemetry,bsp_schedule_delay=1000
{{- end }}
{{- range $triton.extraArgs }}
- {{ . | quote }}
{{- end }}
{{- end }}

{{- define "sixpoint.triton.env" -}}
{{- with .Values.triton.controlKey -}}
{{- if .existingSecret -}}
- name: SIXPOINT_TRITON_KEY
  valueFrom:
    secretKeyRef:
      name: {{ .existingSecret }}
      key: {{ .key }}
{{- end }}
{{- end }}
{{- if eq .Values.triton.modelRepository.kind "s3" }}
{{- range $name, $value := .Values.triton.modelRepository.s3.env }}
- name: {{ $name }}
  value: {{ $value | quote }}
{{- end }}
{{- end }}
{{- end }}

{{- define "sixpoint.triton.envFrom" -}}
{{- if and (eq .Values.triton.modelRepository.kind "s3") .Values.triton.modelRepository.s3.existingSecret -}}
- secretRef:
    name: {{ .Values.triton.modelRepository.s3.existingSecret }}
{{- end }}
{{- end }}

{{- define "sixpoint.triton.resources" -}}
{{- $gpus := dict }}
{{- if .Values.triton.gpu.enabled }}
{{- $_ := set $gpus "limits" (dict .Values.triton.gpu.resource .Values.triton.gpu.count) }}
{{- end }}
{{- toYaml (mergeOverwrite (deepCopy .Values.triton.pod.resources) $gpus) }}
{{- end }}

{{- define "sixpoint.triton.mounts" -}}
- name: shared-memory
  mountPath: /dev/shm
{{- if ne .Values.triton.modelRepository.kind "s3" }}
- name: models
  mountPath: /models
  readOnly: true
{{- end }}
{{- end }}

{{- define "sixpoint.triton.volumes" -}}
{{- $triton := .Values.triton -}}
- name: shared-memory
  emptyDir:
    medium: Memory
    sizeLimit: {{ $triton.sharedMemory }}
{{- if eq $triton.modelRepository.kind "image" }}
- name: models
  emptyDir: {}
{{- else if eq $triton.modelRepository.kind "pvc" }}
- name: models
  persistentVolumeClaim:
    claimName: {{ include "sixpoint.triton.claim" . }}
{{- end }}
{{- end }}

{{- define "sixpoint.triton.claim" -}}
{{- .Values.triton.modelRepository.pvc.existingClaim | default (printf "%s-models" (include "sixpoint.fullname" .)) }}
{{- end }}
