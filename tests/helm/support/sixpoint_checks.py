"""Whether what the manifests say fits sixpoint: its settings, its secrets, its ports, and who may reach whom."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

from gateway.authentication.exposure import check_exposure
from gateway.settings import Settings
from sixpoint.environment import misspelt_variables
from sixpoint.errors import InvalidArgument
from sixpoint.io.triton_key import KEY_NAME, RESTRICTED_PROTOCOLS
from tests.helm.support.charts import Document, Pod, containers, environment, find, of_kind, pods
from tests.helm.support.pod_checks import quantity

__all__ = ["SECRETS", "SIXPOINT_CHECKS", "gateway_settings"]

_COMPONENT = "app.kubernetes.io/component"
_SECRETIVE = re.compile(r"(KEY|PASSWORD|SECRET|TOKEN)(_ID)?$")
_URL_WITH_PASSWORD = re.compile(r"://[^/]*:[^/]*@")
_CERTIFICATE = {"tls.crt", "tls.key", "ca.crt"}
SECRETS = {
    "sixpoint-clients": {"ca.crt"},
    "sixpoint-database": {"url"},
    "sixpoint-images": {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"},
    "sixpoint-models": {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"},
    "sixpoint-test-client": {"tls.crt", "tls.key"},
    "sixpoint-pacs": {"token"},
    "sixpoint-test-token": {"token"},
    "sixpoint-tls": _CERTIFICATE,
    "sixpoint-tokens": {"tokens"},
    "sixpoint-triton": {"key"},
}
"""The Secrets that the files of values name, with the keys that docs/how-to/kubernetes.md gives them."""


def _of(documents: list[Document], component: str) -> list[Pod]:
    return [pod for pod in pods(documents) if pod.labels.get(_COMPONENT) == component]


def gateway_settings(variables: dict[str, str]) -> Settings:
    """The settings of a gateway with these variables; secrets in files are left out, as there are no files here."""
    names = Settings.model_fields
    given = {name.removeprefix("SIXPOINT_").lower(): value for name, value in variables.items()}
    return Settings.model_validate({name: value for name, value in given.items() if name in names})


def settings(documents: list[Document]) -> Iterator[str]:
    """Every SIXPOINT_ variable is a setting, and the gateway accepts its value."""
    for pod in pods(documents):
        variables = environment(documents, pod)
        yield from (f"{pod.name}: {sentence}" for sentence in misspelt_variables(variables))
        yield from (f"{pod.name}: {name} is {value}" for name, value in variables.items() if re.search(r"\de\+", value))
    for pod in _of(documents, "gateway"):
        try:
            own = gateway_settings(environment(documents, pod))
            check_exposure(
                host=own.host, methods=own.auth_methods, tls=own.tls_cert_file is not None, insecure=own.insecure
            )
        except (ValueError, InvalidArgument) as error:
            yield f"{pod.name}: {error}"


def drains(documents: list[Document]) -> Iterator[str]:
    """A pod has the time to drain before it is killed."""
    for pod in _of(documents, "gateway"):
        own = gateway_settings(environment(documents, pod))
        if pod.spec["terminationGracePeriodSeconds"] < own.drain_notice_seconds + own.drain_seconds + 5:
            yield f"{pod.name} is killed while it drains"
    for pod in _of(documents, "triton"):
        main = pod.spec["containers"][0]
        seconds = int(next(arg for arg in main["args"] if arg.startswith("--exit-timeout-secs=")).partition("=")[2])
        notice = main.get("lifecycle", {}).get("preStop", {}).get("exec", {}).get("command", ["sleep", "0"])
        if pod.spec["terminationGracePeriodSeconds"] < int(notice[1]) + seconds + 5:
            yield f"{pod.name} is killed while it drains"


def budgets(documents: list[Document]) -> Iterator[str]:
    """The memory of a gateway holds the budgets of its settings, and its volume what they let it store."""
    for pod in _of(documents, "gateway"):
        own = gateway_settings(environment(documents, pod))
        memory = sum(getattr(own, name) for name in Settings.model_fields if name.endswith("_memory_bytes"))
        if quantity(pod.spec["containers"][0]["resources"]["limits"]["memory"]) < memory + 2**29:
            yield f"{pod.name}: the limit of memory is below the budgets of the settings"
        volumes = {volume["name"]: volume for volume in pod.spec["volumes"]}
        size, need = _size(pod, volumes.get("state", {})), own.cache_bytes + own.unfinished_upload_bytes
        if pod.owner["kind"] == "StatefulSet":
            need = own.disk_bytes + own.log_bytes + own.unfinished_upload_bytes
        if size is not None and size < need:
            yield f"{pod.name}: the volume is smaller than what the settings let it hold"


def _size(pod: Pod, volume: dict[str, Any]) -> float | None:
    if "emptyDir" in volume:
        return quantity(volume["emptyDir"]["sizeLimit"])
    templates = [t["spec"] for t in pod.owner["spec"].get("volumeClaimTemplates", [])]
    if "ephemeral" in volume:
        templates.append(volume["ephemeral"]["volumeClaimTemplate"]["spec"])
    return quantity(templates[0]["resources"]["requests"]["storage"]) if templates else None


def plain_secrets(documents: list[Document]) -> Iterator[str]:
    """No secret is written in a manifest."""
    for pod in pods(documents):
        for name, value in environment(documents, pod).items():
            if _SECRETIVE.search(name) or _URL_WITH_PASSWORD.search(value):
                yield f"{pod.name}: {name} holds a secret"
    yield from (f"Secret/{document['metadata']['name']} is rendered" for document in of_kind(documents, "Secret"))


def config_maps(documents: list[Document]) -> Iterator[str]:
    """Every ConfigMap that pods read is there, and pods that run on are replaced when it changes."""
    for pod in pods(documents):
        for container in containers(pod):
            for source in container.get("envFrom", []):
                name = source.get("configMapRef", {}).get("name")
                if name and not find(documents, "ConfigMap", name):
                    yield f"{pod.name}: there is no ConfigMap {name}"
                if name and "checksum/environment" not in pod.annotations:
                    yield f"{pod.name} goes on with what {name} said when it started"


def secrets(documents: list[Document]) -> Iterator[str]:
    """Every Secret that pods read is one that the operator is told to make, or cert-manager's, with that key."""
    made = {certificate["spec"]["secretName"]: _CERTIFICATE for certificate in of_kind(documents, "Certificate")}
    there = SECRETS | made
    for name, key in _secret_references(documents):
        if name not in there or (key and key not in there[name]):
            yield f"there is no key {key} in a Secret {name}"


def _secret_references(documents: list[Document]) -> Iterator[tuple[str, str]]:
    """Name and key of every Secret that pods read; an empty key for a Secret as a whole."""
    for pod in pods(documents):
        for container in containers(pod):
            for entry in container.get("env", []):
                if reference := entry.get("valueFrom", {}).get("secretKeyRef"):
                    yield reference["name"], reference["key"]
            sources = container.get("envFrom", [])
            yield from ((source["secretRef"]["name"], "") for source in sources if "secretRef" in source)
        for volume in pod.spec.get("volumes", []):
            parts = [source["secret"] for source in volume.get("projected", {}).get("sources", [])]
            for part in [*parts, *([volume["secret"]] if "secret" in volume else [])]:
                name = part.get("name") or part["secretName"]
                items = part.get("items", [{"key": ""}])
                yield from ((name, item["key"]) for item in items)


def secret_files(documents: list[Document]) -> Iterator[str]:
    """Every file that a variable names is mounted."""
    for pod in pods(documents):
        files = set(_mounted_files(pod))
        for name, value in environment(documents, pod).items():
            if name.endswith("_FILE") and value.startswith("/run/") and value not in files:
                yield f"{pod.name}: {name} names {value}, which is not mounted"


def _mounted_files(pod: Pod) -> Iterator[str]:
    volumes = {volume["name"]: volume for volume in pod.spec["volumes"]}
    for place in pod.spec["containers"][0]["volumeMounts"]:
        volume = volumes.get(place["name"], {})
        parts = [source["secret"] for source in volume.get("projected", {}).get("sources", [])]
        for part in [*parts, *([volume["secret"]] if "secret" in volume else [])]:
            # A Secret of the type kubernetes.io/tls has these two.
            items = part.get("items", [{"path": "tls.crt"}, {"path": "tls.key"}])
            yield from (f"{place['mountPath']}/{item['path']}" for item in items)


def policies(documents: list[Document]) -> Iterator[str]:
    """If there are NetworkPolicies, each pod is under one for both directions, and Triton answers only its own."""
    all_policies = of_kind(documents, "NetworkPolicy")
    for pod in pods(documents) if all_policies else ():
        over = [
            p["spec"] for p in all_policies if p["spec"]["podSelector"]["matchLabels"].items() <= pod.labels.items()
        ]
        if {kind for spec in over for kind in spec["policyTypes"]} != {"Ingress", "Egress"}:
            yield f"{pod.name} is under no NetworkPolicy"
        names = {port["name"] for port in pod.spec["containers"][0].get("ports", [])}
        for spec in over:
            for rule in spec.get("ingress", []):
                yield from (f"{pod.name} has no port {p['port']}" for p in rule["ports"] if p["port"] not in names)
                if pod.labels[_COMPONENT] == "triton" and {"port": "grpc", "protocol": "TCP"} in rule["ports"]:
                    yield from (f"{pod.name} answers {peer}" for peer in rule["from"] if not _is_own(peer, pod))


def _is_own(peer: dict[str, Any], pod: Pod) -> bool:
    labels = peer.get("podSelector", {}).get("matchLabels", {})
    release = "app.kubernetes.io/instance"
    return set(peer) == {"podSelector"} and _COMPONENT in labels and labels.get(release) == pod.labels[release]


def triton_key(documents: list[Document]) -> Iterator[str]:
    """With a key, Triton guards what loads models, the gateway presents the same, and Triton has no HTTP."""
    tritons, gateways = _of(documents, "triton"), _of(documents, "gateway")
    for pod in tritons:
        main = pod.spec["containers"][0]
        if "--allow-http=false" not in main["args"]:
            yield f"{pod.name} answers HTTP, which the key does not guard"
        keys = [e["valueFrom"]["secretKeyRef"] for e in main["env"] if e["name"] == "SIXPOINT_TRITON_KEY"]
        restricted = [arg for arg in main["args"] if arg.startswith("--grpc-restricted-protocol")]
        expected = f"--grpc-restricted-protocol={RESTRICTED_PROTOCOLS}:{KEY_NAME}=$(SIXPOINT_TRITON_KEY)"
        if bool(keys) != bool(restricted) or (restricted and restricted != [expected]):
            yield f"{pod.name}: {restricted} does not guard with the key"
        presented = {name for pod in gateways for name in environment(documents, pod)} & {"SIXPOINT_TRITON_KEY_FILE"}
        if bool(keys) != bool(presented):
            yield f"{pod.name} and the gateway do not have the same key"


def models(documents: list[Document]) -> Iterator[str]:
    """Triton reads its models from a volume that it has, and where the first container writes them, or from S3."""
    for pod in _of(documents, "triton"):
        main = pod.spec["containers"][0]
        folder = next(arg for arg in main["args"] if arg.startswith("--model-repository=")).partition("=")[2]
        if folder.startswith("s3://"):
            continue
        places = {place["mountPath"]: place["name"] for place in main["volumeMounts"]}
        if folder not in places:
            yield f"{pod.name}: {folder} is no volume"
        for container in pod.spec.get("initContainers", []):
            written = {place["name"] for place in container["volumeMounts"] if not place.get("readOnly")}
            if places.get(folder) not in written:
                yield f"{pod.name}: the models are copied elsewhere"


def helm_test(documents: list[Document]) -> Iterator[str]:
    """The pod of `helm test` is a hook, ends, and asks a Service of the release at its port."""
    ports = {
        f"{service['metadata']['name']}.imaging.svc:{port['port']}"
        for service in of_kind(documents, "Service")
        for port in service["spec"]["ports"]
    }
    for document in of_kind(documents, "Pod"):
        if document["metadata"].get("annotations", {}).get("helm.sh/hook") != "test":
            yield "a Pod is no test"
        if document["spec"]["restartPolicy"] != "Never":
            yield "the test is started again and again"
        address = document["spec"]["containers"][0]["command"][-1]
        fronts = {f"{host}:443" for d in of_kind(documents, "GRPCRoute") for host in d["spec"]["hostnames"]}
        if address.removeprefix("https://") not in ports | fronts:
            yield f"the test asks at {address}, where nothing is"


SIXPOINT_CHECKS: tuple[Callable[[list[Document]], Iterator[str]], ...] = (
    settings,
    drains,
    budgets,
    config_maps,
    plain_secrets,
    secrets,
    secret_files,
    policies,
    triton_key,
    models,
    helm_test,
)
