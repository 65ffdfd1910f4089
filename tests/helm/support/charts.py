"""The chart, rendered by the real Helm, and the parts of what it renders."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import helm_python
import yaml

from tests.support.paths import ROOT

__all__ = [
    "CHART",
    "CI_FILES",
    "Document",
    "Pod",
    "Values",
    "containers",
    "environment",
    "find",
    "merged",
    "of_kind",
    "pods",
    "read_values",
    "render",
    "render_texts",
    "renders",
]

CHART = ROOT / "helm" / "sixpoint"
CI_FILES = sorted((CHART / "ci").glob("*-values.yaml"))

Document = dict[str, Any]
Values = dict[str, Any]

_NESTED = {"CronJob": ("spec", "jobTemplate", "spec", "template"), "Pod": ()}


@dataclass(frozen=True)
class Pod:
    """A pod, or the template of pods in another object.

    Attributes:
        owner: The object.
        labels: Labels of the pods.
        annotations: Annotations of the pods.
        spec: Spec of the pods.
    """

    owner: Document
    labels: dict[str, str]
    annotations: dict[str, str]
    spec: dict[str, Any]

    @property
    def name(self) -> str:
        """Kind and name of the object."""
        return f"{self.owner['kind']}/{self.owner['metadata']['name']}"

    @property
    def runs_on(self) -> bool:
        """Whether the pods run until they are ended."""
        return self.owner["kind"] in ("Deployment", "StatefulSet")


@functools.cache
def _chart() -> helm_python.Chart:
    return helm_python.Chart.load(CHART)


def render_texts(values: Mapping[str, Any], *, release: str = "demo") -> dict[str, str]:
    """Render the chart in the namespace ``imaging``; returns texts by the template's path.

    Raises:
        HelmError: The values do not match the schema, or a guard refused them.
    """
    return _chart().render(dict(values), name=release, namespace="imaging")


def render(values: Mapping[str, Any], *, release: str = "demo") -> list[Document]:
    """Render the chart; returns its objects."""
    texts = render_texts(values, release=release)
    manifests = (text for name, text in sorted(texts.items()) if not name.endswith("NOTES.txt"))
    return [document for text in manifests for document in yaml.load_all(text, yaml.CSafeLoader) if document]


def renders(values: Mapping[str, Any]) -> str:
    """Why the chart refuses values; empty if it renders them."""
    try:
        render(values)
    except helm_python.HelmError as error:
        return str(error)
    return ""


def read_values(path: Path) -> dict[str, Any]:
    """A file of values."""
    values: dict[str, Any] = yaml.safe_load(path.read_text())
    return values


def merged(*parts: Values) -> Values:
    """Values of several blocks; a later one counts more."""
    result: Values = {}
    for part in parts:
        for key, value in part.items():
            old = result.get(key)
            result[key] = merged(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
    return result


def pods(documents: list[Document]) -> Iterator[Pod]:
    """All pods and templates of pods."""
    for document in documents:
        part: Any = document
        if document["kind"] not in _NESTED and "template" not in document.get("spec", {}):
            continue
        for key in _NESTED.get(document["kind"], ("spec", "template")):
            part = part[key]
        metadata = part.get("metadata", {})
        yield Pod(document, metadata.get("labels", {}), metadata.get("annotations", {}), part["spec"])


def containers(pod: Pod) -> list[dict[str, Any]]:
    """All containers of a pod, those that run first, too."""
    return [*pod.spec.get("initContainers", []), *pod.spec["containers"]]


def environment(documents: list[Document], pod: Pod) -> dict[str, str]:
    """Variables of a pod's main container that are written in the manifests, from ConfigMaps, too."""
    main = pod.spec["containers"][0]
    variables: dict[str, str] = {}
    for source in main.get("envFrom", []):
        if "configMapRef" in source:
            named = find(documents, "ConfigMap", source["configMapRef"]["name"])
            variables |= named["data"] if named else {}
    return variables | {entry["name"]: entry["value"] for entry in main["env"] if "value" in entry}


def of_kind(documents: list[Document], *kinds: str) -> list[Document]:
    """All objects of some kinds."""
    return [document for document in documents if document["kind"] in kinds]


def find(documents: list[Document], kind: str, name: str) -> Document | None:
    """The object of a kind and name; None if there is none."""
    return next((document for document in of_kind(documents, kind) if document["metadata"]["name"] == name), None)
