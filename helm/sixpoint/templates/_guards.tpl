{{- /* What would not work, or would not be safe, in words: what is wrong, what to set. */ -}}

{{- define "sixpoint.guards" -}}
{{- include "sixpoint.guards.gateway" . }}
{{- include "sixpoint.guards.triton" . }}
{{- include "sixpoint.guards.access" . }}
{{- include "sixpoint.guards.expose" . }}
{{- end }}

{{- define "sixpoint.guards.gateway" -}}
{{- $gateway := .Values.gateway }}
{{- range $name, $instead := include "sixpoint.gateway.managed" . | fromYaml }}
{{- if hasKey $gateway.settings $name }}
{{- fail (printf "gateway.settings.%s follows from other values of the chart: set %s" $name $instead) }}
{{- end }}
{{- end }}
{{- $several := or $gateway.autoscaling.enabled (gt (int $gateway.replicas) 1) }}
{{- if and $several (not (include "sixpoint.gateway.stateless" .)) }}
{{- fail "several gateways need a database and an object store that they share: set database.existingSecret and blobs.url, or gateway.replicas to 1 and gateway.autoscaling.enabled to false" }}
{{- end }}
{{- if and $gateway.autoscaling.enabled (gt (int $gateway.autoscaling.minReplicas) (int $gateway.autoscaling.maxReplicas)) }}
{{- fail "gateway.autoscaling.minReplicas exceeds maxReplicas: raise maxReplicas" }}
{{- end }}
{{- if and (include "sixpoint.gateway.stateless" .) $gateway.persistence.existingClaim }}
{{- fail "gateway.persistence.existingClaim is not used once database and blobs are elsewhere: remove it, and move what is in it first" }}
{{- end }}
{{- range $component := list "gateway" "triton" }}
{{- $budget := (index $.Values $component).pdb }}
{{- if not (or (kindIs "invalid" $budget.minAvailable) (kindIs "invalid" $budget.maxUnavailable)) }}
{{- fail (printf "%s.pdb has minAvailable and maxUnavailable, and Kubernetes takes one of them: set the other to null" $component) }}
{{- end }}
{{- end }}
{{- /* A number is a float in a file of values, and an integer after --set. */ -}}
{{- $fixed := and $gateway.pdb.enabled (not $gateway.autoscaling.enabled) }}
{{- if and $fixed (not (or (kindIs "invalid" $gateway.pdb.minAvailable) (kindIs "string" $gateway.pdb.minAvailable))) }}
{{- if ge (int $gateway.pdb.minAvailable) (int $gateway.replicas) }}
{{- fail "gateway.pdb.minAvailable leaves no gateway that may be evicted, so that no node could be drained: set it below gateway.replicas, or set maxUnavailable instead" }}
{{- end }}
{{- end }}
{{- if and .Values.worker.enabled (not .Values.worker.command) }}
{{- fail "worker.command is empty: this version of sixpoint has no worker of its own; name a command of your image, or set worker.enabled to false" }}
{{- end }}
{{- if and .Values.worker.enabled (not (include "sixpoint.gateway.stateless" .)) }}
{{- fail "workers need a database and an object store that they share with the gateway: set database.existingSecret and blobs.url" }}
{{- end }}
{{- if and .Values.worker.job.enabled (not .Values.worker.job.command) }}
{{- fail "worker.job.command is empty: name the command of the Job, such as [trainer, train, ...]" }}
{{- end }}
{{- end }}

{{- define "sixpoint.guards.triton" -}}
{{- $triton := .Values.triton }}
{{- if and (not $triton.enabled) (not $triton.external.url) }}
{{- fail "triton.enabled is false, and no other Triton is named: set triton.external.url to host:port or dns:///name:port" }}
{{- end }}
{{- if and $triton.enabled $triton.external.url }}
{{- fail "triton.external.url names a Triton, and the chart would run one, too: set triton.enabled to false, or remove the URL" }}
{{- end }}
{{- $repository := $triton.modelRepository }}
{{- if and $triton.enabled (eq $repository.kind "s3") (not (hasPrefix "s3://" $repository.s3.uri)) }}
{{- fail "triton.modelRepository.kind is s3, and no bucket is named: set triton.modelRepository.s3.uri to s3://bucket/prefix" }}
{{- end }}
{{- $scaled := and $triton.enabled (ne $triton.autoscaling.kind "none") }}
{{- $several := or $scaled (gt (int $triton.replicas) 1) }}
{{- if and $triton.enabled $several (eq $repository.kind "pvc") (eq $repository.pvc.accessMode "ReadWriteOnce") }}
{{- fail "several Tritons cannot share a volume that is ReadWriteOnce: set triton.modelRepository.pvc.accessMode to ReadWriteMany, or triton.modelRepository.kind to s3" }}
{{- end }}
{{- if and $triton.enabled (eq $repository.kind "pvc") (eq $repository.pvc.accessMode "ReadOnlyMany") (or $repository.pvc.seed (not $repository.pvc.existingClaim)) }}
{{- fail "a repository that is ReadOnlyMany cannot be filled by the chart: set triton.modelRepository.pvc.existingClaim, and seed to false" }}
{{- end }}
{{- if and $scaled (gt (int $triton.autoscaling.minReplicas) (int $triton.autoscaling.maxReplicas)) }}
{{- fail "triton.autoscaling.minReplicas exceeds maxReplicas: raise maxReplicas" }}
{{- end }}
{{- if and $scaled (eq $triton.autoscaling.kind "keda") (not $triton.autoscaling.keda.serverAddress) }}
{{- fail "KEDA needs a Prometheus to ask: set triton.autoscaling.keda.serverAddress" }}
{{- end }}
{{- if and $triton.enabled (eq (toString $triton.maxSurge) "0") (eq (toString $triton.maxUnavailable) "0") }}
{{- fail "triton.maxSurge and triton.maxUnavailable are both 0, so that no Triton could ever be replaced: set triton.maxUnavailable to 1 where there is no spare GPU" }}
{{- end }}
{{- if and $triton.tensorRt.jobs (not (and $triton.enabled $triton.gpu.enabled (eq $repository.kind "pvc"))) }}
{{- fail "triton.tensorRt.jobs read the model from a volume, and need a GPU: set triton.modelRepository.kind to pvc and triton.gpu.enabled to true" }}
{{- end }}
{{- end }}

{{- define "sixpoint.guards.access" -}}
{{- $auth := .Values.auth }}
{{- if and (eq $auth.mode "none") (ne .Values.expose.kind "none") (not $auth.insecure) }}
{{- fail (printf "expose.kind %s makes the gateway reachable from outside, and auth.mode none lets everybody in who reaches it: set auth.mode to tokens or oidc, or auth.insecure to true if something before it asks who they are" .Values.expose.kind) }}
{{- end }}
{{- if and (include "sixpoint.gateway.readsTokens" .) (not $auth.tokens.existingSecret) }}
{{- fail (printf "auth.mode %s reads a file of tokens and of admitted certificates, and none is named: set auth.tokens.existingSecret" $auth.mode) }}
{{- end }}
{{- if and (contains "proxy" $auth.mode) (not $auth.proxyNames) }}
{{- fail "auth.mode has proxy, and no proxy is named: set auth.proxyNames to the names in the certificates of those that may say who calls" }}
{{- end }}
{{- if and (contains "oidc" $auth.mode) (not (and $auth.oidc.issuer $auth.oidc.audience)) }}
{{- fail "auth.mode has oidc, and no provider is named: set auth.oidc.issuer and auth.oidc.audience" }}
{{- end }}
{{- $certificates := or (contains "mtls" $auth.mode) (contains "proxy" $auth.mode) }}
{{- if and $certificates (not .Values.tls.clientCa.existingSecret) }}
{{- fail (printf "auth.mode %s believes clients' certificates: set tls.mode, and tls.clientCa.existingSecret to the authorities that sign them" $auth.mode) }}
{{- end }}
{{- $tls := .Values.tls }}
{{- if and (ne $auth.mode "none") (eq $tls.mode "none") (has .Values.expose.kind (list "none" "loadBalancer")) (not $auth.insecure) }}
{{- fail (printf "auth.mode %s sends tokens, and without TLS everybody on the way can read them: set tls.mode to certManager or secret, or auth.insecure to true if something before the gateway ends TLS" $auth.mode) }}
{{- end }}
{{- if and (eq $tls.mode "none") $tls.clientCa.existingSecret }}
{{- fail "tls.clientCa asks clients for certificates, which needs TLS: set tls.mode to secret or certManager" }}
{{- end }}
{{- if and (eq $tls.mode "secret") (not $tls.secretName) }}
{{- fail "tls.mode is secret, and none is named: set tls.secretName to a Secret with tls.crt and tls.key" }}
{{- end }}
{{- if and (eq $tls.mode "certManager") (not $tls.issuerRef.name) }}
{{- fail "tls.mode is certManager, and no issuer is named: set tls.issuerRef.name" }}
{{- end }}
{{- end }}

{{- define "sixpoint.guards.expose" -}}
{{- $expose := .Values.expose }}
{{- if and (has $expose.kind (list "ingress" "grpcRoute")) (not $expose.host) }}
{{- fail (printf "expose.kind %s needs a name under which clients reach the gateway: set expose.host" $expose.kind) }}
{{- end }}
{{- if and (eq $expose.kind "ingress") (not $expose.tlsSecretName) }}
{{- fail "ingress-nginx speaks gRPC only over TLS: set expose.tlsSecretName to a Secret with the certificate of expose.host" }}
{{- end }}
{{- if and (eq $expose.kind "grpcRoute") (not $expose.gatewayRef.name) }}
{{- fail "a GRPCRoute belongs to a Gateway: set expose.gatewayRef.name" }}
{{- end }}
{{- if and (eq $expose.kind "grpcRoute") (ne .Values.tls.mode "none") }}
{{- fail "the Gateway of a GRPCRoute speaks to the pods without TLS: set tls.mode to none and let the Gateway's listener have the certificate, or set expose.kind to loadBalancer" }}
{{- end }}
{{- if and (has $expose.kind (list "ingress" "grpcRoute")) .Values.tls.clientCa.existingSecret (not (contains "proxy" .Values.auth.mode)) }}
{{- fail (printf "with expose.kind %s the certificates of clients end at the proxy: set expose.kind to loadBalancer, or auth.mode to proxy" $expose.kind) }}
{{- end }}
{{- $viewers := .Values.viewers }}
{{- if and $viewers.enabled (has $expose.kind (list "ingress" "grpcRoute")) (or (not $viewers.host) (eq $viewers.host $expose.host)) }}
{{- fail (printf "with expose.kind %s viewers reach the gateway under a name of their own, since gRPC has the other one: set viewers.host" $expose.kind) }}
{{- end }}
{{- if and $viewers.pathTokens (not (contains "tokens" .Values.auth.mode)) }}
{{- fail (printf "viewers.pathTokens takes tokens of a file, and auth.mode %s reads none: set auth.mode to tokens, also with others (tokens,oidc)" .Values.auth.mode) }}
{{- end }}
{{- if and $viewers.enabled (eq (int $viewers.port) (int .Values.gateway.service.port)) }}
{{- fail "viewers.port is the port of gRPC, too: set another one" }}
{{- end }}
{{- if and (ne $expose.kind "none") .Values.networkPolicy.enabled (not .Values.networkPolicy.from) }}
{{- fail (printf "expose.kind %s lets nobody in while networkPolicy.from is empty: name the namespace of the ingress controller or Gateway (namespaceSelector), or networks (ipBlock)" $expose.kind) }}
{{- end }}
{{- end }}
