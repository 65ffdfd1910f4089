"""Each check sees a fault in the manifests, which pass all of them without it."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest

from tests.helm.support.charts import CHART, Document, read_values, render
from tests.helm.support.object_checks import OBJECT_CHECKS
from tests.helm.support.pod_checks import POD_CHECKS
from tests.helm.support.sixpoint_checks import SIXPOINT_CHECKS

ALL_CHECKS = {check.__name__: check for check in (*POD_CHECKS, *OBJECT_CHECKS, *SIXPOINT_CHECKS)}
REMOVED = object()
GATEWAY, TRITON = "Deployment/demo-sixpoint-gateway", "Deployment/demo-sixpoint-triton"
STATEFUL = "StatefulSet/demo-sixpoint-gateway"
ENVIRONMENT = "ConfigMap/demo-sixpoint-gateway"
POD, MAIN = "spec.template.spec", "spec.template.spec.containers.0"

# Check, file of values, object, path within it, and the value that breaks it.
FAULTS: list[tuple[str, str, str, str, Any]] = [
    ("port_names", "ha", GATEWAY, f"{MAIN}.ports.0.name", "Grpc_Port"),
    ("port_names", "ha", GATEWAY, f"{MAIN}.ports.0.name", "a-name-of-seventeen"),
    ("port_names", "ha", GATEWAY, f"{MAIN}.ports.1.containerPort", 50051),
    ("port_names", "ha", GATEWAY, f"{MAIN}.ports.0.hostPort", 50051),
    ("probes", "ha", GATEWAY, f"{MAIN}.readinessProbe.grpc.port", 50053),
    ("probes", "ha", TRITON, f"{MAIN}.startupProbe", REMOVED),
    ("hanging", "ha", GATEWAY, f"{MAIN}.livenessProbe.terminationGracePeriodSeconds", REMOVED),
    ("hanging", "ha", TRITON, f"{MAIN}.livenessProbe.terminationGracePeriodSeconds", 10),
    ("mounts", "ha", GATEWAY, f"{POD}.volumes.1.name", "other"),
    ("mounts", "ha", GATEWAY, f"{MAIN}.volumeMounts.1.mountPath", "/tmp"),
    ("mounts", "minimal", STATEFUL, "spec.volumeClaimTemplates.0.metadata.name", "other"),
    ("restricted", "ha", GATEWAY, f"{POD}.securityContext.seccompProfile", REMOVED),
    ("restricted", "ha", GATEWAY, f"{POD}.hostNetwork", True),
    ("restricted", "ha", GATEWAY, f"{POD}.volumes.0", {"name": "tmp", "hostPath": {"path": "/tmp"}}),
    ("restricted", "ha", GATEWAY, f"{MAIN}.securityContext.allowPrivilegeEscalation", REMOVED),
    ("restricted", "ha", GATEWAY, f"{MAIN}.securityContext.capabilities.drop", ["NET_RAW"]),
    ("restricted", "ha", GATEWAY, f"{MAIN}.securityContext.capabilities.add", ["SYS_ADMIN"]),
    ("restricted", "ha", GATEWAY, f"{MAIN}.securityContext.privileged", True),
    ("restricted", "ha", GATEWAY, f"{MAIN}.securityContext.runAsNonRoot", False),
    ("restricted", "ha", GATEWAY, f"{POD}.securityContext.runAsUser", 0),
    ("restricted", "minimal", TRITON, f"{POD}.initContainers.0.securityContext.runAsUser", 0),
    ("read_only_root", "ha", TRITON, f"{MAIN}.securityContext.readOnlyRootFilesystem", False),
    ("read_only_root", "ha", TRITON, f"{MAIN}.volumeMounts.0.mountPath", "/var/tmp"),
    ("no_token", "ha", "Pod/demo-sixpoint-test", "spec.automountServiceAccountToken", REMOVED),
    ("no_token", "ha", GATEWAY, f"{POD}.enableServiceLinks", True),
    ("images", "ha", TRITON, f"{MAIN}.image", "nvcr.io:443/nvidia/tritonserver"),
    ("images", "ha", TRITON, f"{MAIN}.image", "nvcr.io/nvidia/tritonserver:latest"),
    ("images", "ha", GATEWAY, f"{MAIN}.image", "sixpoint/gateway@sha256:12"),
    ("resources", "ha", GATEWAY, f"{MAIN}.resources.limits.memory", REMOVED),
    ("resources", "ha", GATEWAY, f"{MAIN}.resources.requests.memory", "11Gi"),
    ("accounts", "ha", GATEWAY, f"{POD}.serviceAccountName", "other"),
    ("spread", "ha", GATEWAY, f"{POD}.topologySpreadConstraints.0.labelSelector.matchLabels", {"app": "other"}),
    ("names", "ha", GATEWAY, "metadata.name", "Gateway"),
    ("names", "minimal", STATEFUL, "metadata.name", "g" * 53),
    ("names", "ha", "ServiceAccount/demo-sixpoint-triton", "metadata.name", "demo-sixpoint-gateway"),
    ("names", "ha", GATEWAY, "metadata.labels.version", "0.1.0+local"),
    ("names", "ha", GATEWAY, "metadata.namespace", "default"),
    ("services", "ha", "Service/demo-sixpoint-gateway", "spec.selector.app", "other"),
    ("services", "ha", "Service/demo-sixpoint-gateway", "spec.ports.0.targetPort", "http"),
    ("services", "ha", "Service/demo-sixpoint-gateway", "spec.ports.0.name", "Grpc"),
    ("services", "ha", "Service/demo-sixpoint-triton", "spec.ports.1.port", 8001),
    ("selectors", "ha", GATEWAY, "spec.selector.matchLabels.tier", "front"),
    ("selectors", "ha", GATEWAY, "spec.selector.matchLabels", {"app.kubernetes.io/name": "sixpoint"}),
    ("headless", "ha", "Service/demo-sixpoint-triton", "spec.clusterIP", REMOVED),
    ("headless", "minimal", STATEFUL, "spec.serviceName", "other"),
    ("disruption", "ha", "PodDisruptionBudget/demo-sixpoint-gateway", "spec.maxUnavailable", 1),
    ("disruption", "minimal", "PodDisruptionBudget/demo-sixpoint-gateway", "spec.maxUnavailable", 0),
    ("disruption", "minimal", "PodDisruptionBudget/demo-sixpoint-gateway", "spec", {"minAvailable": 1}),
    ("disruption", "ha", "PodDisruptionBudget/demo-sixpoint-gateway", "spec.selector.matchLabels.app", "other"),
    ("scaling", "ha", GATEWAY, "spec.replicas", 3),
    ("scaling", "ha", "HorizontalPodAutoscaler/demo-sixpoint-gateway", "spec.scaleTargetRef.kind", "StatefulSet"),
    ("scaling", "ha", "ScaledObject/demo-sixpoint-triton", "spec.scaleTargetRef.name", "demo-sixpoint-gateway"),
    ("rollout", "ha", GATEWAY, "spec.strategy.rollingUpdate.maxUnavailable", 1),
    ("rollout", "ha", TRITON, "spec.strategy.rollingUpdate.maxSurge", 0),
    ("ways_in", "openshift", "Ingress/demo-sixpoint-gateway", "spec.rules.0.host", "other.example"),
    (
        "ways_in",
        "openshift",
        "Ingress/demo-sixpoint-gateway",
        "spec.rules.0.http.paths.0.backend.service.port.name",
        "http",
    ),
    ("ways_in", "s3-everything", "GRPCRoute/demo-sixpoint-gateway", "spec.rules.0.backendRefs.0.port", 50052),
    ("monitors", "ha", "ServiceMonitor/demo-sixpoint-gateway", "spec.endpoints.0.port", "metrics"),
    ("monitors", "ha", "ServiceMonitor/demo-sixpoint-gateway", "spec.endpoints.0.relabelings", []),
    ("monitors", "ha", "Service/demo-sixpoint-triton", "metadata.labels.sixpoint/metrics", REMOVED),
    ("settings", "ha", ENVIRONMENT, "data.SIXPOINT_MAX_SESION", "5"),
    ("settings", "ha", ENVIRONMENT, "data.SIXPOINT_MAX_SESSIONS", "many"),
    ("settings", "ha", ENVIRONMENT, "data.SIXPOINT_CALL_SECONDS", "1e+02"),
    ("settings", "minimal", ENVIRONMENT, "data.SIXPOINT_INSECURE", "false"),
    ("drains", "ha", ENVIRONMENT, "data.SIXPOINT_DRAIN_SECONDS", "600"),
    ("drains", "ha", TRITON, f"{POD}.terminationGracePeriodSeconds", 60),
    ("budgets", "ha", GATEWAY, f"{MAIN}.resources.limits.memory", "8Gi"),
    ("budgets", "ha", ENVIRONMENT, "data.SIXPOINT_CACHE_BYTES", str(64 * 2**30)),
    ("budgets", "minimal", ENVIRONMENT, "data.SIXPOINT_DISK_BYTES", str(64 * 2**30)),
    ("plain_secrets", "ha", ENVIRONMENT, "data.SIXPOINT_TRITON_KEY", "1234"),
    ("plain_secrets", "ha", ENVIRONMENT, "data.SIXPOINT_BLOBS_URL", "https://me:secret@store/bucket"),
    ("plain_secrets", "ha", "ConfigMap/demo-sixpoint-dashboard", "kind", "Secret"),
    ("config_maps", "ha", ENVIRONMENT, "metadata.name", "other"),
    ("config_maps", "ha", GATEWAY, "spec.template.metadata.annotations", {}),
    ("secrets", "ha", GATEWAY, f"{POD}.volumes.2.projected.sources.0.secret.items.0.key", "uri"),
    ("secrets", "ha", "Certificate/demo-sixpoint-gateway", "spec.secretName", "other"),
    ("secrets", "s3-everything", TRITON, f"{MAIN}.envFrom.0.secretRef.name", "other"),
    ("secret_files", "ha", f"{GATEWAY}", f"{POD}.volumes.2.projected.sources.0.secret.items.0.path", "database"),
    ("secret_files", "ha", ENVIRONMENT, "data.SIXPOINT_TLS_CERT_FILE", "/run/tls/cert.pem"),
    ("policies", "ha", "NetworkPolicy/demo-sixpoint-default-deny", "spec.podSelector.matchLabels.app", "other"),
    ("policies", "ha", "NetworkPolicy/demo-sixpoint-gateway", "spec.ingress.0.ports.0.port", "http"),
    ("policies", "ha", "NetworkPolicy/demo-sixpoint-triton", "spec.ingress.0.from.0", {"podSelector": {}}),
    ("policies", "ha", "NetworkPolicy/demo-sixpoint-triton", "spec.ingress.0.from.0", {"namespaceSelector": {}}),
    ("triton_key", "ha", TRITON, f"{MAIN}.args.8", "--allow-http=true"),
    ("triton_key", "ha", TRITON, f"{MAIN}.args.12", "--grpc-restricted-protocol=trace:key=$(SIXPOINT_TRITON_KEY)"),
    ("triton_key", "ha", ENVIRONMENT, "data.SIXPOINT_TRITON_KEY_FILE", REMOVED),
    ("models", "minimal", TRITON, f"{MAIN}.args.0", "--model-repository=/model_repository"),
    ("models", "minimal", TRITON, f"{POD}.initContainers.0.volumeMounts.1.readOnly", True),
    ("helm_test", "ha", "Pod/demo-sixpoint-test", "spec.restartPolicy", "Always"),
    ("helm_test", "ha", "Pod/demo-sixpoint-test", "metadata.annotations", {}),
    ("helm_test", "ha", "Pod/demo-sixpoint-test", "spec.containers.0.command.2", "demo-sixpoint.imaging.svc:50051"),
]


def break_at(documents: list[Document], place: str, path: str, value: Any) -> None:
    """Change one value of one object."""
    part: Any = next(d for d in documents if f"{d['kind']}/{d['metadata']['name']}" == place)
    *above, last = (int(key) if key.isdecimal() else key for key in path.replace("sixpoint/metrics", "@").split("."))
    last = "sixpoint/metrics" if last == "@" else last
    for key in above:
        part = part[key]
    if value is REMOVED:
        del part[last]
    else:
        part[last] = value


@pytest.fixture(scope="module")
def rendered() -> Callable[[str], list[Document]]:
    """A function from a file of values to a copy of its manifests."""
    made: dict[str, list[Document]] = {}

    def copied(name: str) -> list[Document]:
        if name not in made:
            made[name] = render(read_values(CHART / "ci" / f"{name}-values.yaml"))
        return copy.deepcopy(made[name])

    return copied


@pytest.mark.parametrize(("check", "values", "place", "path", "value"), FAULTS)
def test_a_fault_is_seen(
    rendered: Callable[[str], list[Document]], check: str, values: str, place: str, path: str, value: Any
) -> None:
    documents = rendered(values)
    assert list(ALL_CHECKS[check](documents)) == []
    if path == "spec" and isinstance(value, dict):
        old = next(d for d in documents if f"{d['kind']}/{d['metadata']['name']}" == place)["spec"]
        value = {"selector": old["selector"], **value}
    break_at(documents, place, path, value)
    assert list(ALL_CHECKS[check](documents)) != []


def test_every_check_is_seen_to_fail() -> None:
    assert {fault[0] for fault in FAULTS} == set(ALL_CHECKS)
