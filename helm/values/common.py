"""Parts of the chart's values that several components have."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

__all__ = [
    "DisruptionBudget",
    "Image",
    "KubernetesObject",
    "Pod",
    "SecretKey",
    "ServiceAccount",
    "ValuesModel",
]

KubernetesObject = dict[str, Any]
"""A part of a manifest as Kubernetes defines it, passed on as it is."""


class ValuesModel(BaseModel):
    """A block of values: camelCase keys, none unknown, each with a description."""

    model_config = ConfigDict(
        alias_generator=to_camel,
        extra="forbid",
        frozen=True,
        populate_by_name=True,
        use_attribute_docstrings=True,
    )


class Image(ValuesModel):
    """A container image."""

    registry: str
    """Registry of the image; `global.imageRegistry` counts more."""
    repository: str
    """Path of the image within the registry."""
    tag: str = ""
    """Tag of the image; of sixpoint's own images, the chart's appVersion by default."""
    digest: str = Field(default="", pattern=r"^(sha256:[0-9a-f]{64})?$")
    """Digest, as sha256:...; it counts more than the tag."""
    pull_policy: Literal["Always", "IfNotPresent", "Never"] = "IfNotPresent"
    """When a node pulls the image."""


class SecretKey(ValuesModel):
    """One key of a Secret that exists already."""

    existing_secret: str = ""
    """Name of the Secret in the release's namespace; none by default."""
    key: str
    """Key within the Secret."""


class ServiceAccount(ValuesModel):
    """The service account of a component. No token of it is mounted."""

    create: bool = True
    """Whether the chart makes the account; otherwise `name` must exist, or the namespace's default is used."""
    name: str = ""
    """Name of the account; that of the component by default."""
    annotations: dict[str, str] = {}
    """Annotations of the account, such as the cloud identity that may read the bucket."""


class DisruptionBudget(ValuesModel):
    """Pods that a node's drain must leave running. Set at most one of the two numbers."""

    enabled: bool = True
    """Whether there is a PodDisruptionBudget."""
    min_available: int | str | None = None
    """Pods that must stay, as a number or a percentage."""
    max_unavailable: int | str | None = None
    """Pods that may be missing, as a number or a percentage; 1 if neither is set."""


class Pod(ValuesModel):
    """What every pod can be given. Everything is as in Kubernetes, and is added to what the chart sets."""

    resources: KubernetesObject = {}
    """Requests and limits of the main container."""
    node_selector: dict[str, str] = {"kubernetes.io/arch": "amd64", "kubernetes.io/os": "linux"}
    """Labels of the nodes to run on. sixpoint's images are for Linux on x86-64."""
    tolerations: list[KubernetesObject] = []
    """Taints of nodes that are tolerated."""
    affinity: KubernetesObject = {}
    """Affinity to nodes and pods."""
    topology_spread_constraints: list[KubernetesObject] = []
    """How pods spread over nodes and zones; without a labelSelector, that of the component."""
    priority_class_name: str = ""
    """Priority class."""
    annotations: dict[str, str] = {}
    """Annotations of the pods."""
    labels: dict[str, str] = {}
    """Labels of the pods, such as those that a cloud identity asks for."""
    extra_env: list[KubernetesObject] = []
    """Environment variables of the main container."""
    extra_env_from: list[KubernetesObject] = []
    """ConfigMaps and Secrets whose keys are environment variables of the main container."""
    extra_volumes: list[KubernetesObject] = []
    """Volumes."""
    extra_volume_mounts: list[KubernetesObject] = []
    """Where the main container sees them."""
    security_context: KubernetesObject = {}
    """Security context of the pod, over the chart's own (runAsNonRoot, runAsUser, fsGroup, seccompProfile)."""
    container_security_context: KubernetesObject = {}
    """Security context of its containers, over the chart's own (no capabilities, read-only root)."""
