"""An upgrade of the release asks Kubernetes for nothing that it never changes."""

from __future__ import annotations

from typing import Any

import pytest

from tests.helm.support.charts import Document, Values, pods, render

# Fields that cannot be changed in an object that exists.
IMMUTABLE = {
    "Deployment": ("selector",),
    "StatefulSet": ("selector", "serviceName", "podManagementPolicy", "volumeClaimTemplates"),
    "Service": ("clusterIP",),
    "PersistentVolumeClaim": ("accessModes", "storageClassName"),
}
CHANGES: dict[str, Values] = {
    "settings": {"gateway": {"settings": {"max_sessions": 5}, "drain": {"seconds": 90}}},
    "labels": {"commonLabels": {"team": "imaging"}, "gateway": {"pod": {"labels": {"tier": "front"}}}},
    "images": {"gateway": {"image": {"tag": "0.2.0"}}, "triton": {"image": {"tag": "25.01-py3"}}},
    "security": {
        "auth": {"mode": "tokens", "tokens": {"existingSecret": "sixpoint-tokens"}},
        "tls": {"mode": "secret", "secretName": "sixpoint-tls"},
        "triton": {"controlKey": {"existingSecret": "sixpoint-triton"}},
        "networkPolicy": {"enabled": False},
    },
    "gpu": {"triton": {"gpu": {"enabled": True}, "replicas": 2}},
}


def immutable_fields(documents: list[Document]) -> dict[str, Any]:
    """What must stay as it is, by object."""
    return {
        f"{document['kind']}/{document['metadata']['name']}": [
            document["spec"].get(key) for key in IMMUTABLE[document["kind"]]
        ]
        for document in documents
        if document["kind"] in IMMUTABLE
    }


@pytest.mark.parametrize("change", CHANGES)
def test_what_kubernetes_never_changes_stays_as_it_is(change: str) -> None:
    assert immutable_fields(render(CHANGES[change])) == immutable_fields(render({}))


def test_pods_are_replaced_only_if_what_they_run_has_changed() -> None:
    def templates(values: Values) -> list[object]:
        return [pod.spec | {"labels": pod.labels} for pod in pods(render(values)) if pod.runs_on]

    # Whoever switches these on does not want sessions to move.
    quiet = {
        "monitoring": {"rules": {"enabled": True}},
        "networkPolicy": {"enabled": False},
        "gateway": {"pdb": {"enabled": False}},
    }
    assert templates(quiet) == templates({})
    assert templates(CHANGES["settings"]) != templates({})


def test_sqlite_and_postgresql_are_two_kinds_of_object_with_one_name() -> None:
    shared = {"database": {"existingSecret": "sixpoint-database"}, "blobs": {"url": "s3://images"}}
    names = {(pod.owner["kind"], pod.owner["metadata"]["name"]) for pod in pods(render(shared)) if pod.runs_on}
    assert ("Deployment", "demo-sixpoint-gateway") in names
    # An upgrade removes the StatefulSet, and leaves its claim.
    assert ("StatefulSet", "demo-sixpoint-gateway") not in names
