"""What cannot work, or is unsafe, is refused with a sentence that says what to set."""

from __future__ import annotations

import re
from typing import Any

import pytest
import yaml

from gateway.settings import Settings
from gateway.settings.secrets import secret_fields
from tests.helm.support.charts import CHART, renders

Values = dict[str, Any]

EXPOSED: Values = {
    "expose": {"kind": "ingress", "host": "a.example", "tlsSecretName": "front"},
    "auth": {"mode": "tokens", "tokens": {"existingSecret": "tokens"}},
    "networkPolicy": {"from": [{"namespaceSelector": {}}]},
}
CLIENTS: Values = {"mode": "secret", "secretName": "tls", "clientCa": {"existingSecret": "ca"}}
SHARED: Values = {"database": {"existingSecret": "db"}, "blobs": {"url": "s3://images"}}


def triton(**values: Any) -> Values:
    return {"triton": values}


def repository(kind: str, **values: Any) -> Values:
    return {"kind": kind, kind: values}


# Values, a part of the sentence, and values that mend it, over the first.
REFUSED: list[tuple[Values, str, Values]] = [
    ({"gateway": {"replicas": 2}}, "set database.existingSecret and blobs.url", SHARED),
    ({"gateway": {"autoscaling": {"enabled": True}}}, "set database.existingSecret and blobs.url", SHARED),
    (
        {"gateway": {"autoscaling": {"enabled": True, "minReplicas": 9}}, **SHARED},
        "minReplicas exceeds maxReplicas",
        {"gateway": {"autoscaling": {"enabled": True, "minReplicas": 2}}},
    ),
    (
        {"gateway": {"persistence": {"existingClaim": "old"}}, **SHARED},
        "existingClaim is not used",
        {"gateway": {}},
    ),
    (
        {"gateway": {"pdb": {"minAvailable": 0, "maxUnavailable": 1}}},
        "gateway.pdb has minAvailable and maxUnavailable",
        {"gateway": {"pdb": {"maxUnavailable": 1}}},
    ),
    (
        triton(pdb={"minAvailable": "50%", "maxUnavailable": 1}),
        "triton.pdb has minAvailable and maxUnavailable",
        triton(pdb={"minAvailable": "50%"}),
    ),
    (
        {"gateway": {"pdb": {"minAvailable": 1}}},
        "no node could be drained",
        {"gateway": {"pdb": {"minAvailable": 0}}},
    ),
    ({"worker": {"enabled": True, "command": []}, **SHARED}, "worker.command is empty", {"worker": {"enabled": False}}),
    ({"worker": {"enabled": True, "command": ["work"]}}, "workers need a database", SHARED),
    ({"worker": {"job": {"enabled": True}}}, "worker.job.command is empty", {"worker": {}}),
    (triton(enabled=False), "set triton.external.url", triton(enabled=False, external={"url": "gpu:8001"})),
    (triton(external={"url": "gpu:8001"}), "set triton.enabled to false", triton()),
    (triton(modelRepository=repository("s3")), "set triton.modelRepository.s3.uri", triton()),
    (
        triton(replicas=2, modelRepository=repository("pvc")),
        "cannot share a volume that is ReadWriteOnce",
        triton(replicas=2, modelRepository=repository("pvc", accessMode="ReadWriteMany")),
    ),
    (
        triton(autoscaling={"kind": "hpa"}, modelRepository=repository("pvc")),
        "cannot share a volume that is ReadWriteOnce",
        triton(autoscaling={"kind": "hpa"}),
    ),
    (
        triton(modelRepository=repository("pvc", accessMode="ReadOnlyMany")),
        "cannot be filled by the chart",
        triton(modelRepository=repository("pvc", accessMode="ReadOnlyMany", existingClaim="models", seed=False)),
    ),
    (triton(autoscaling={"kind": "hpa", "minReplicas": 9}), "triton.autoscaling.minReplicas exceeds", triton()),
    (triton(autoscaling={"kind": "keda"}), "set triton.autoscaling.keda.serverAddress", triton()),
    (triton(maxSurge=0), "no Triton could ever be replaced", triton(maxSurge=0, maxUnavailable=1)),
    (
        triton(tensorRt={"jobs": [{"name": "a", "gpuProduct": "L4", "args": [], "enginesClaim": "e"}]}),
        "set triton.modelRepository.kind to pvc and triton.gpu.enabled to true",
        triton(tensorRt={"jobs": []}),
    ),
    (EXPOSED | {"auth": {"mode": "none"}}, "auth.mode none lets everybody in", {"auth": {"insecure": True}}),
    (EXPOSED | {"auth": {"mode": "tokens"}}, "set auth.tokens.existingSecret", EXPOSED),
    ({**EXPOSED, "expose": {}}, "everybody on the way can read them", {"tls": {"mode": "secret", "secretName": "tls"}}),
    (
        {"auth": {"mode": "proxy"}, "tls": CLIENTS},
        "set auth.proxyNames",
        {"auth": {"mode": "proxy", "proxyNames": ["a.example"]}},
    ),
    (
        {"auth": {"mode": "oidc", "oidc": {"issuer": "https://a"}}},
        "set auth.oidc.issuer and auth.oidc.audience",
        {"auth": {"mode": "oidc", "oidc": {"issuer": "https://a", "audience": "b"}, "insecure": True}},
    ),
    (
        {"auth": {"mode": "mtls", "tokens": {"existingSecret": "tokens"}}},
        "set tls.mode, and tls.clientCa.existingSecret",
        {"tls": CLIENTS},
    ),
    (
        {"tls": {"clientCa": {"existingSecret": "ca"}}},
        "which needs TLS: set tls.mode",
        {"tls": CLIENTS},
    ),
    ({"tls": {"mode": "secret"}}, "set tls.secretName", {"tls": {"mode": "secret", "secretName": "tls"}}),
    (
        {"tls": {"mode": "certManager"}},
        "set tls.issuerRef.name",
        {"tls": {"mode": "certManager", "issuerRef": {"name": "hospital"}}},
    ),
    (EXPOSED | {"expose": {"kind": "ingress", "tlsSecretName": "front"}}, "set expose.host", EXPOSED),
    (EXPOSED | {"expose": {"kind": "ingress", "host": "a.example"}}, "set expose.tlsSecretName", EXPOSED),
    (
        EXPOSED | {"expose": {"kind": "grpcRoute", "host": "a.example"}},
        "set expose.gatewayRef.name",
        {"expose": {"kind": "grpcRoute", "host": "a.example", "gatewayRef": {"name": "front"}}},
    ),
    (
        EXPOSED
        | {
            "expose": {"kind": "grpcRoute", "host": "a.example", "gatewayRef": {"name": "front"}},
            "tls": {"mode": "secret", "secretName": "tls"},
        },
        "set tls.mode to none",
        {"tls": {}},
    ),
    (
        EXPOSED | {"tls": CLIENTS},
        "the certificates of clients end at the proxy",
        {"auth": {"mode": "proxy", "proxyNames": ["a.example"]}},
    ),
    (EXPOSED | {"viewers": {"enabled": True}}, "set viewers.host", {"viewers": {"enabled": True, "host": "b.example"}}),
    (
        EXPOSED | {"viewers": {"enabled": True, "host": "a.example"}},
        "since gRPC has the other one",
        {"viewers": {"enabled": True, "host": "b.example"}},
    ),
    ({"viewers": {"enabled": True, "port": 50051}}, "viewers.port is the port of gRPC", {"viewers": {"enabled": True}}),
    ({"viewers": {"pathTokens": True}}, "set auth.mode to tokens, also with others", {"viewers": {}}),
    (EXPOSED | {"networkPolicy": {}}, "lets nobody in while networkPolicy.from is empty", EXPOSED),
]


@pytest.mark.parametrize(("values", "sentence", "mended"), REFUSED)
def test_what_cannot_work_is_refused_in_words(values: Values, sentence: str, mended: Values) -> None:
    assert sentence in renders(values)
    assert renders(values | mended) == ""


def test_every_guard_is_tested() -> None:
    templates = (CHART / "templates" / "_guards.tpl").read_text()
    sentences = re.findall(r'fail \(?(?:printf )?"([^"]+)"', templates)
    said = [renders(values) for values, _, _ in REFUSED]
    untested = [
        sentence
        for sentence in sentences
        if not any(re.search(re.escape(sentence).replace("%s", ".*"), text) for text in said)
    ]
    # The next test is for this one.
    assert untested == ["gateway.settings.%s follows from other values of the chart: set %s"]


def test_settings_that_follow_from_other_values_are_refused_with_what_to_set() -> None:
    helper = (CHART / "templates" / "gateway" / "_environment.tpl").read_text()
    managed = yaml.safe_load(helper.split('define "sixpoint.gateway.managed" -}}')[1].split("{{- end }}")[0])
    fields = Settings.model_fields
    # A secret must not be written into values.
    assert set(secret_fields(Settings)) <= set(managed)
    for name, instead in managed.items():
        if name in fields:
            assert f"gateway.settings.{name} follows from other values of the chart: set {instead}" in renders(
                {"gateway": {"settings": {name: EXAMPLES.get(name, "a")}}}
            )


EXAMPLES: Values = {
    "drain_notice_seconds": 1,
    "drain_seconds": 1,
    "health_port": 1,
    "http_port": 1,
    "https_port": 1,
    "path_tokens": True,
    "insecure": True,
    "port": 1,
    "status_port": 1,
    "triton_grpc_port": 1,
    "triton_metrics_port": 1,
    "auth": "none",
}


def test_unknown_values_and_wrong_types_are_refused_with_their_place() -> None:
    assert "at '/gateway/replicas': got string, want integer" in renders({"gateway": {"replicas": "two"}})
    assert "additional properties 'replica' not allowed" in renders({"gateway": {"replica": 2}})
    assert "additional properties 'max_sesions' not allowed" in renders({"gateway": {"settings": {"max_sesions": 2}}})
    assert "at '/gateway/settings/max_sessions'" in renders({"gateway": {"settings": {"max_sessions": 0}}})
    assert "at '/triton/modelRepository/kind'" in renders(triton(modelRepository={"kind": "nfs"}))
    assert "at '/gateway/image/digest'" in renders({"gateway": {"image": {"digest": "sha256:12"}}})
