"""What an API server, Pod Security or a kubelet would refuse in pods, and what the house asks of them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from tests.helm.support.charts import Document, Pod, containers, of_kind, pods

__all__ = ["POD_CHECKS"]

_PORT_NAME = re.compile(r"(?=.*[a-z])[a-z0-9](-?[a-z0-9])*")
_PROBES = ("startupProbe", "livenessProbe", "readinessProbe")
# Pod Security's level "restricted".
_VOLUMES = {"configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected", "secret"}
_HOST = ("hostNetwork", "hostPID", "hostIPC")


def port_names(documents: list[Document]) -> Iterator[str]:
    """Names of container ports are up to 15 lower-case letters, digits and dashes; names and numbers are unique."""
    for pod in pods(documents):
        ports = [port for container in containers(pod) for port in container.get("ports", [])]
        for port in ports:
            if len(port["name"]) > 15 or not _PORT_NAME.fullmatch(port["name"]):
                yield f"{pod.name}: {port['name']} is no port name"
            if "hostPort" in port:
                yield f"{pod.name}: {port['name']} takes a port of the node"
        for key in ("name", "containerPort"):
            if len({port[key] for port in ports}) != len(ports):
                yield f"{pod.name}: two ports have the same {key}"


def probes(documents: list[Document]) -> Iterator[str]:
    """Containers that run on have three probes, on ports that they have."""
    for pod in pods(documents):
        if not pod.runs_on or pod.owner["metadata"]["name"].endswith("-worker"):
            continue
        for container in pod.spec["containers"]:
            ports = {port["containerPort"] for port in container["ports"]} | {p["name"] for p in container["ports"]}
            for probe in _PROBES:
                if probe not in container:
                    yield f"{pod.name}: {container['name']} has no {probe}"
                    continue
                action = container[probe].get("grpc") or container[probe].get("httpGet") or {}
                if action.get("port") not in ports:
                    yield f"{pod.name}: {probe} asks at port {action.get('port')}, which {container['name']} has not"


def hanging(documents: list[Document]) -> Iterator[str]:
    """What hangs is not given the time to drain, but that for preStop."""
    for pod in pods(documents):
        for container in pod.spec["containers"]:
            if (probe := container.get("livenessProbe")) is None:
                continue
            grace = probe.get("terminationGracePeriodSeconds", pod.spec["terminationGracePeriodSeconds"])
            command = container.get("lifecycle", {}).get("preStop", {}).get("exec", {}).get("command", ["sleep", "0"])
            if not float(command[-1]) < grace < pod.spec["terminationGracePeriodSeconds"]:
                yield f"{pod.name}: {container['name']} that hangs is killed after {grace} s"


def mounts(documents: list[Document]) -> Iterator[str]:
    """Every mount has a volume, every volume is mounted, and no two mounts share a path."""
    for pod in pods(documents):
        claims = [claim["metadata"]["name"] for claim in pod.owner["spec"].get("volumeClaimTemplates", [])]
        volumes = [volume["name"] for volume in pod.spec.get("volumes", [])] + claims
        if len(set(volumes)) != len(volumes):
            yield f"{pod.name}: two volumes have the same name"
        used = set()
        for container in containers(pod):
            places = container.get("volumeMounts", [])
            used |= {place["name"] for place in places}
            if len({place["mountPath"] for place in places}) != len(places):
                yield f"{pod.name}: {container['name']} mounts two volumes at one path"
        yield from (f"{pod.name}: there is no volume {name}" for name in sorted(used - set(volumes)))
        yield from (f"{pod.name}: nothing mounts the volume {name}" for name in sorted(set(volumes) - used))


def restricted(documents: list[Document]) -> Iterator[str]:
    """Every field that Pod Security's level "restricted" asks for is there."""
    for pod in pods(documents):
        spec = pod.spec
        context = spec.get("securityContext", {})
        if context.get("seccompProfile", {}).get("type") not in ("RuntimeDefault", "Localhost"):
            yield f"{pod.name}: no seccomp profile"
        if context.get("runAsUser") == 0:
            yield f"{pod.name}: runs as root"
        yield from (f"{pod.name}: {key}" for key in _HOST if spec.get(key))
        for volume in spec.get("volumes", []):
            if kinds := set(volume) - {"name"} - _VOLUMES:
                yield f"{pod.name}: volume {volume['name']} is {kinds}"
        for container in containers(pod):
            yield from (f"{pod.name}: {container['name']} {fault}" for fault in _faults(container, context))


def _faults(container: dict[str, Any], pod_context: dict[str, Any]) -> Iterator[str]:
    own = container.get("securityContext", {})
    if own.get("allowPrivilegeEscalation") is not False:
        yield "may gain privileges"
    if own.get("privileged"):
        yield "is privileged"
    capabilities = own.get("capabilities", {})
    if capabilities.get("drop") != ["ALL"] or set(capabilities.get("add", [])) - {"NET_BIND_SERVICE"}:
        yield "keeps capabilities"
    if own.get("runAsNonRoot", pod_context.get("runAsNonRoot")) is not True:
        yield "may run as root"
    if own.get("runAsUser") == 0:
        yield "runs as root"


def read_only_root(documents: list[Document]) -> Iterator[str]:
    """The root of every container is read-only, and /tmp is a volume."""
    for pod in pods(documents):
        for container in containers(pod):
            if container["securityContext"].get("readOnlyRootFilesystem") is not True:
                yield f"{pod.name}: {container['name']} may write to its root"
            if "/tmp" not in {place["mountPath"] for place in container.get("volumeMounts", [])}:
                yield f"{pod.name}: {container['name']} has no /tmp"


def no_token(documents: list[Document]) -> Iterator[str]:
    """No token of a service account, and no variables that describe Services."""
    for pod in pods(documents):
        for key in ("automountServiceAccountToken", "enableServiceLinks"):
            if pod.spec.get(key) is not False:
                yield f"{pod.name}: {key} is not false"


def images(documents: list[Document]) -> Iterator[str]:
    """Every image has a digest, or a tag that is not latest."""
    for pod in pods(documents):
        for container in containers(pod):
            name, _, digest = container["image"].partition("@")
            tag = name.rpartition("/")[2].partition(":")[2]
            if digest and not re.fullmatch(r"sha256:[0-9a-f]{64}", digest):
                yield f"{pod.name}: {digest} is no digest"
            if not digest and tag in ("", "latest"):
                yield f"{pod.name}: {container['image']} may change"


def resources(documents: list[Document]) -> Iterator[str]:
    """Every container requests CPU and memory, and has a limit of memory that is not below."""
    for pod in pods(documents):
        for container in containers(pod):
            requests = container.get("resources", {}).get("requests", {})
            limits = container.get("resources", {}).get("limits", {})
            if not requests.get("cpu") or not requests.get("memory") or not limits.get("memory"):
                yield f"{pod.name}: {container['name']} has no requests, or no limit of memory"
            elif quantity(requests["memory"]) > quantity(limits["memory"]):
                yield f"{pod.name}: {container['name']} requests more memory than it may take"


def quantity(text: str) -> float:
    """A quantity of Kubernetes, such as 10Gi, as a number."""
    match = re.fullmatch(r"([\d.]+)([A-Za-z]*)", str(text))
    assert match, text
    units = {"": 1, "m": 1e-3, "k": 1e3, "M": 1e6, "G": 1e9, "Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40}
    return float(match[1]) * units[match[2]]


def accounts(documents: list[Document]) -> Iterator[str]:
    """The service account of every pod is the chart's, or the namespace's default."""
    made = {document["metadata"]["name"] for document in of_kind(documents, "ServiceAccount")}
    for pod in pods(documents):
        if pod.spec["serviceAccountName"] not in made | {"default"}:
            yield f"{pod.name}: there is no service account {pod.spec['serviceAccountName']}"


def spread(documents: list[Document]) -> Iterator[str]:
    """Pods spread from those of their own kind."""
    for pod in pods(documents):
        for constraint in pod.spec.get("topologySpreadConstraints", []):
            if not _matches(constraint["labelSelector"]["matchLabels"], pod):
                yield f"{pod.name}: spreads from other pods"


def _matches(labels: dict[str, str], pod: Pod) -> bool:
    return labels.items() <= pod.labels.items()


POD_CHECKS = (
    port_names,
    probes,
    hanging,
    mounts,
    restricted,
    read_only_root,
    no_token,
    images,
    resources,
    accounts,
    spread,
)
