"""Many sets of values, each switch in each position together with many others: sound, and valid in every version."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator

import pytest

from tests.helm.support.charts import Document, Values, merged, render
from tests.helm.support.object_checks import OBJECT_CHECKS
from tests.helm.support.pod_checks import POD_CHECKS
from tests.helm.support.schemas import invalid
from tests.helm.support.sixpoint_checks import SIXPOINT_CHECKS

SHARED: Values = {
    "database": {"existingSecret": "sixpoint-database"},
    "blobs": {"url": "s3://images/production", "existingSecret": "sixpoint-images"},
}
TOKENS: Values = {
    "auth": {"mode": "tokens", "tokens": {"existingSecret": "sixpoint-tokens"}},
    "tls": {"mode": "secret", "secretName": "sixpoint-tls"},
}
OUTSIDE: Values = {"networkPolicy": {"from": [{"ipBlock": {"cidr": "10.0.0.0/8"}}]}, **TOKENS}
VOLUME: Values = {"triton": {"modelRepository": {"kind": "pvc", "pvc": {"accessMode": "ReadWriteMany"}}}}
BUCKET: Values = {
    "triton": {
        "modelRepository": {"kind": "s3", "s3": {"uri": "s3://models/a", "existingSecret": "sixpoint-models"}},
    }
}

# Switch, and its positions. A position that needs others brings them along.
SWITCHES: dict[str, list[Values]] = {
    "stores": [{}, SHARED],
    "gateways": [{}, {**SHARED, "gateway": {"replicas": 3, "updateStrategy": "Recreate"}}],
    "scaled": [{}, {**SHARED, "gateway": {"autoscaling": {"enabled": True, "maxReplicas": 20}}}],
    "settings": [{}, {"gateway": {"settings": {"max_sessions": 500, "workers": 4, "host": "::"}}}],
    "claim": [{}, {"gateway": {"cache": {"storageClassName": "fast"}, "persistence": {"storageClassName": "fast"}}}],
    "budget": [{}, {"gateway": {"pdb": {"maxUnavailable": "50%"}}}, {"gateway": {"pdb": {"enabled": False}}}],
    "models": [{}, VOLUME, BUCKET],
    "gpu": [{}, {"triton": {"gpu": {"enabled": True, "count": 2, "runtimeClassName": "nvidia"}}}],
    "tritons": [{}, {"triton": {"replicas": 2, "maxSurge": 0, "maxUnavailable": 1}}],
    "key": [{}, {"triton": {"controlKey": {"existingSecret": "sixpoint-triton"}}}],
    "tritons scaled": [
        {},
        {"triton": {"autoscaling": {"kind": "hpa"}}},
        {"triton": {"autoscaling": {"kind": "keda", "keda": {"serverAddress": "http://prometheus:9090"}}}},
    ],
    "identity": [{}, TOKENS],
    "tls": [
        {},
        {"tls": {"mode": "secret", "secretName": "sixpoint-tls", "clientCa": {"existingSecret": "sixpoint-clients"}}},
        {"tls": {"mode": "certManager", "issuerRef": {"name": "hospital"}}},
    ],
    "exposed": [{}, {"expose": {"kind": "loadBalancer", "className": "internal"}, **OUTSIDE}],
    "network": [{}, {"networkPolicy": {"egress": {"mode": "open"}}}, {"networkPolicy": {"enabled": False}}],
    "monitoring": [{}, {"monitoring": {name: {"enabled": True} for name in ("serviceMonitor", "rules", "dashboard")}}],
    "traces": [{}, {"monitoring": {"tracesUrl": "http://collector.monitoring.svc:4318"}}],
    "viewers": [
        {},
        {"viewers": {"enabled": True}},
        {
            **TOKENS,
            "viewers": {
                "enabled": True,
                "pathTokens": True,
                "dicomweb": {"url": "http://pacs:8042/dicom-web", "token": {"existingSecret": "sixpoint-pacs"}},
            },
        },
    ],
    "worker": [{}, {**SHARED, "worker": {"enabled": True, "command": ["work"]}}],
    "job": [{}, {"worker": {"job": {"enabled": True, "command": ["trainer"], "activeDeadlineSeconds": 2592000}}}],
    "test": [{}, {"test": {"enabled": False}}],
    "platform": [{}, {"global": {"openshift": True, "imagePullSecrets": ["mirror"]}, "fullnameOverride": "x" * 60}],
    "pods": [
        {},
        {
            "commonLabels": {"team": "imaging"},
            "gateway": {
                "pod": {
                    "tolerations": [{"key": "clinical", "operator": "Exists"}],
                    "affinity": {"podAntiAffinity": {}},
                    "priorityClassName": "clinical",
                    "annotations": {"a": "b"},
                    "labels": {"azure.workload.identity/use": "true"},
                    "extraEnv": [{"name": "TZ", "value": "Europe/Berlin"}],
                    "extraVolumes": [{"name": "ca", "configMap": {"name": "ca"}}],
                    "extraVolumeMounts": [{"name": "ca", "mountPath": "/ca"}],
                }
            },
        },
    ],
}
SETS = 96


def value_sets() -> Iterator[list[Values]]:
    """A position of each switch."""
    chooser = random.Random(20)
    for _ in range(SETS):
        yield [chooser.choice(positions) for positions in SWITCHES.values()]


ALL = list(value_sets())


def test_every_pair_of_positions_is_in_a_set() -> None:
    seen = {
        (i, positions[i].index(chosen[i]), j, positions[j].index(chosen[j]))
        for chosen in ALL
        for positions in [list(SWITCHES.values())]
        for i, j in itertools.combinations(range(len(SWITCHES)), 2)
    }
    sizes = [len(positions) for positions in SWITCHES.values()]
    assert len(seen) == sum(a * b for a, b in itertools.combinations(sizes, 2))


@pytest.fixture(scope="module")
def distinct() -> dict[str, Document]:
    """Objects of all sets by their content, so that each is compared with the schemas once."""
    return {}


@pytest.mark.parametrize("number", range(SETS))
def test_a_set_of_values_is_sound(number: int, distinct: dict[str, Document]) -> None:
    documents = render(merged(*ALL[number]))
    checks = (*POD_CHECKS, *OBJECT_CHECKS, *SIXPOINT_CHECKS)
    assert [f"{check.__name__}: {fault}" for check in checks for fault in check(documents)] == []
    new = {str(document): document for document in documents if str(document) not in distinct}
    assert invalid(new.values()) == []
    distinct.update(new)
