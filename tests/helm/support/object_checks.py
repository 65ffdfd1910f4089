"""What an API server would refuse, or what would never find each other, in the other objects."""

from __future__ import annotations

import re
from collections.abc import Iterator

from tests.helm.support.charts import Document, Pod, of_kind, pods

__all__ = ["OBJECT_CHECKS"]

_NAME = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?")
_LABEL = re.compile(r"([A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?)?")
# Kubernetes adds a hash, or a number, to the names of what these make.
_LENGTHS = {"StatefulSet": 52, "CronJob": 52}
_OWN = "app.kubernetes.io/component"


def _selected(labels: dict[str, str], documents: list[Document]) -> list[Pod]:
    return [pod for pod in pods(documents) if labels.items() <= pod.labels.items()]


def names(documents: list[Document]) -> Iterator[str]:
    """Names and labels are valid, and no two objects of a kind have the same name."""
    seen = set()
    for document in documents:
        kind, name = document["kind"], document["metadata"]["name"]
        if not _NAME.fullmatch(name) or len(name) > _LENGTHS.get(kind, 63):
            yield f"{kind}/{name}: no valid name"
        if (kind, name) in seen:
            yield f"{kind}/{name} is there twice"
        seen.add((kind, name))
        for value in document["metadata"]["labels"].values():
            if len(value) > 63 or not _LABEL.fullmatch(value):
                yield f"{kind}/{name}: {value} is no label"
        if document["metadata"]["namespace"] != "imaging":
            yield f"{kind}/{name} is in another namespace"


def services(documents: list[Document]) -> Iterator[str]:
    """A Service selects the pods of one object, and its ports exist there; names and numbers are unique."""
    for service in of_kind(documents, "Service"):
        name, ports = service["metadata"]["name"], service["spec"]["ports"]
        selected = _selected(service["spec"]["selector"], documents)
        if len(selected) != 1:
            yield f"Service/{name} selects {[pod.name for pod in selected]}"
            continue
        there = {port["name"] for port in selected[0].spec["containers"][0].get("ports", [])}
        for port in ports:
            if port["targetPort"] not in there:
                yield f"Service/{name}: {selected[0].name} has no port {port['targetPort']}"
            if not _NAME.fullmatch(port["name"]):
                yield f"Service/{name}: {port['name']} is no port name"
        for key in ("name", "port"):
            if len({port[key] for port in ports}) != len(ports):
                yield f"Service/{name}: two ports have the same {key}"


def selectors(documents: list[Document]) -> Iterator[str]:
    """A workload selects its own pods, and no others."""
    for pod in pods(documents):
        if not pod.runs_on:
            continue
        selected = _selected(pod.owner["spec"]["selector"]["matchLabels"], documents)
        if [other.name for other in selected] != [pod.name]:
            yield f"{pod.name} selects {[other.name for other in selected]}"


def headless(documents: list[Document]) -> Iterator[str]:
    """The Service of a StatefulSet is headless, and so is Triton's, which gateways resolve to all Tritons."""
    without_address = {
        service["metadata"]["name"]
        for service in of_kind(documents, "Service")
        if service["spec"].get("clusterIP") == "None"
    }
    wanted = {document["spec"]["serviceName"] for document in of_kind(documents, "StatefulSet")}
    for environment in of_kind(documents, "ConfigMap"):
        url = environment["data"].get("SIXPOINT_TRITON_URL", "")
        wanted |= {match[1] for match in [re.fullmatch(r"dns:///([^.]+)\.imaging\.svc:8001", url)] if match}
    yield from (f"Service/{name} is missing, or not headless" for name in sorted(wanted - without_address))


def disruption(documents: list[Document]) -> Iterator[str]:
    """A PodDisruptionBudget has one of its two numbers, selects one object, and lets a node be drained."""
    for budget in of_kind(documents, "PodDisruptionBudget"):
        name, spec = budget["metadata"]["name"], budget["spec"]
        if ("minAvailable" in spec) == ("maxUnavailable" in spec):
            yield f"PodDisruptionBudget/{name} must have one of minAvailable and maxUnavailable"
        selected = _selected(spec["selector"]["matchLabels"], documents)
        if len(selected) != 1:
            yield f"PodDisruptionBudget/{name} selects {[pod.name for pod in selected]}"
        elif spec.get("maxUnavailable") == 0 or spec.get("minAvailable", -1) == selected[0].owner["spec"].get(
            "replicas"
        ):
            yield f"PodDisruptionBudget/{name} lets no pod be evicted"


def scaling(documents: list[Document]) -> Iterator[str]:
    """What is scaled exists, has no number of its own, and is scaled once."""
    targets = []
    for scaler in of_kind(documents, "HorizontalPodAutoscaler", "ScaledObject"):
        target = scaler["spec"]["scaleTargetRef"]
        kind = target.get("kind", "Deployment")
        targets.append((kind, target["name"]))
        targeted = [d for d in of_kind(documents, kind) if d["metadata"]["name"] == target["name"]]
        if not targeted:
            yield f"{scaler['kind']} scales {kind}/{target['name']}, which is not there"
        elif "replicas" in targeted[0]["spec"]:
            yield f"{kind}/{target['name']} has a fixed number of pods, and is scaled"
    if len(set(targets)) != len(targets):
        yield "something is scaled twice"


def rollout(documents: list[Document]) -> Iterator[str]:
    """An update of gateways stops none before another is ready, and an update of anything can go on."""
    for deployment in of_kind(documents, "Deployment"):
        strategy = deployment["spec"].get("strategy", {})
        if strategy.get("type") != "RollingUpdate":
            continue
        rolling, name = strategy["rollingUpdate"], deployment["metadata"]["name"]
        if rolling["maxSurge"] in (0, "0%") and rolling["maxUnavailable"] in (0, "0%"):
            yield f"Deployment/{name} can never be updated"
        if deployment["metadata"]["labels"][_OWN] == "gateway" and rolling["maxUnavailable"] != 0:
            yield f"Deployment/{name} stops a gateway before another is ready"


def ways_in(documents: list[Document]) -> Iterator[str]:
    """Ingress and GRPCRoute lead to ports of Services that exist."""
    there = {
        (service["metadata"]["name"], port[key])
        for service in of_kind(documents, "Service")
        for port in service["spec"]["ports"]
        for key in ("name", "port")
    }
    wanted = []
    for ingress in of_kind(documents, "Ingress"):
        for rule in ingress["spec"]["rules"]:
            for path in rule["http"]["paths"]:
                service = path["backend"]["service"]
                wanted.append((service["name"], service["port"]["name"]))
            if rule["host"] not in [host for entry in ingress["spec"]["tls"] for host in entry["hosts"]]:
                yield f"Ingress: {rule['host']} has no certificate"
    for route in of_kind(documents, "GRPCRoute"):
        wanted += [(ref["name"], ref["port"]) for rule in route["spec"]["rules"] for ref in rule["backendRefs"]]
    yield from (f"there is no Service {name} with port {port}" for name, port in wanted if (name, port) not in there)


def monitors(documents: list[Document]) -> Iterator[str]:
    """A ServiceMonitor finds one Service, with its port; gateways are in the job that the alerts expect."""
    for monitor in of_kind(documents, "ServiceMonitor"):
        name, spec = monitor["metadata"]["name"], monitor["spec"]
        labels = spec["selector"]["matchLabels"].items()
        matching = [s for s in of_kind(documents, "Service") if labels <= s["metadata"]["labels"].items()]
        if len(matching) != 1:
            yield f"ServiceMonitor/{name} finds {len(matching)} Services"
            continue
        for endpoint in spec["endpoints"]:
            if endpoint["port"] not in [port["name"] for port in matching[0]["spec"]["ports"]]:
                yield f"ServiceMonitor/{name}: there is no port {endpoint['port']}"
            jobs = [rule["replacement"] for rule in endpoint["relabelings"] if rule["targetLabel"] == "job"]
            if monitor["metadata"]["labels"][_OWN] == "gateway" and jobs != ["sixpoint"]:
                yield f"ServiceMonitor/{name}: the alerts expect the job sixpoint, and this is {jobs}"


OBJECT_CHECKS = (
    names,
    services,
    selectors,
    headless,
    disruption,
    scaling,
    rollout,
    ways_in,
    monitors,
)
