"""Kubernetes' own schemas of several versions, for the objects that the chart renders."""

from __future__ import annotations

import functools
import json
from collections.abc import Iterable
from typing import Any
from unittest import mock

import kubernetes_validate
from kubernetes_validate import utils

from tests.helm.support.charts import Document

__all__ = ["VERSIONS", "invalid"]

VERSIONS = [
    version for version in dict.fromkeys(utils.all_versions()) if tuple(map(int, version.split("."))) >= (1, 28)
]
"""The versions that the chart is made for."""

# Reading a version's definitions takes longer than the comparison with them.
_CACHED: dict[str, Any] = {name: functools.cache(getattr(utils, name)) for name in ("schema_contents", "all_versions")}
# Custom resources: their schemas come with their operators.
_CUSTOM = {"cert-manager.io/v1", "gateway.networking.k8s.io/v1", "keda.sh/v1alpha1", "monitoring.coreos.com/v1"}


def invalid(documents: Iterable[Document]) -> list[str]:
    """Compare objects with the schemas of all versions; each object once. Unknown fields are faults, too."""
    distinct = {json.dumps(document, sort_keys=True): document for document in documents}
    faults = []
    with mock.patch.multiple(utils, **_CACHED):
        for document in distinct.values():
            if document["apiVersion"] not in _CUSTOM:
                faults += [fault for version in VERSIONS if (fault := _fault(document, version))]
    return faults


def _fault(document: Document, version: str) -> str:
    name = f"{document['kind']}/{document['metadata']['name']} ({version})"
    try:
        kubernetes_validate.validate(document, version, strict=True)
    except kubernetes_validate.ValidationError as error:
        return f"{name}: {'.'.join(map(str, error.path))}: {error.message}"
    except kubernetes_validate.SchemaNotFoundError:
        return f"{name}: no such kind"
    return ""
