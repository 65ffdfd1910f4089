"""A short form of manifests, to review a change of the chart: ``python -m tests.helm.support.outlines`` writes it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from tests.helm.support.charts import CI_FILES, Document, Pod, containers, pods, read_values, render

__all__ = ["golden_file", "outline"]

# The same in all pods, and held by checks.
_COMMON = (
    "automountServiceAccountToken",
    "containers",
    "enableServiceLinks",
    "initContainers",
    "securityContext",
    "volumes",
)
_COMPONENT = "app.kubernetes.io/component"


def golden_file(values: Path) -> Path:
    """The file with the outline of a file of values."""
    return Path(__file__).parents[1] / "golden" / f"{values.name.removesuffix('-values.yaml')}.yaml"


def outline(documents: list[Document]) -> str:
    """Each object by kind and name, with what the values decide; standard labels and contexts are left out."""
    contents = {f"{d['kind']} {d['metadata']['name']}": _content(d) for d in documents}
    return "\n".join(
        yaml.safe_dump({name: _short(contents[name])}, default_flow_style=None, width=110) for name in sorted(contents)
    )


def _content(document: Document) -> dict[str, Any]:
    content: dict[str, Any] = {key: document[key] for key in ("data", "spec") if key in document}
    if annotations := document["metadata"].get("annotations"):
        content["annotations"] = annotations
    if document["kind"] == "PrometheusRule":
        content["spec"] = "the generated alerts"
    for pod in pods([document]):
        own = {} if document["kind"] == "Pod" else document["spec"]
        content["spec"] = {key: value for key, value in own.items() if key not in ("template", "jobTemplate")}
        content["pod"] = _pod(pod)
    return content


def _pod(pod: Pod) -> dict[str, Any]:
    content = {key: value for key, value in pod.spec.items() if key not in _COMMON}
    content["user"] = pod.spec["securityContext"].get("runAsUser", "the namespace's")
    content["volumes"] = [_volume(volume) for volume in pod.spec["volumes"]]
    return content | {f"container {container['name']}": _container(container) for container in containers(pod)}


def _volume(volume: dict[str, Any]) -> str:
    kind = next(key for key in volume if key != "name")
    names = [source["secret"]["name"] for source in volume[kind].get("sources", [])]
    return " ".join([volume["name"], kind, volume[kind].get("secretName", ""), *names]).strip()


def _container(container: dict[str, Any]) -> dict[str, Any]:
    made = {"image": container["image"], "runs": [*container["command"], *container.get("args", [])]}
    if "ports" in container:
        made["ports"] = [f"{port['name']} {port['containerPort']}" for port in container["ports"]]
    made["env"] = [f"{e['name']}={e.get('value', '(from elsewhere)')}" for e in container["env"]]
    made["mounts"] = [f"{place['mountPath']} {place['name']}" for place in container["volumeMounts"]]
    made["resources"] = container["resources"]
    return made


def _short(part: Any) -> Any:
    """Labels of one component as its name, and long texts, such as the dashboard, without their content."""
    if isinstance(part, dict):
        if _COMPONENT in part:
            return part[_COMPONENT]
        return {key: _short(value) for key, value in part.items() if not key.startswith("checksum/")}
    if isinstance(part, list):
        return [_short(entry) for entry in part]
    return "(a long text)" if isinstance(part, str) and len(part) > 300 else part


def main() -> None:
    """Write the outlines of all files of values."""
    for file in CI_FILES:
        golden_file(file).parent.mkdir(exist_ok=True)
        golden_file(file).write_text(outline(render(read_values(file))))


if __name__ == "__main__":
    main()
