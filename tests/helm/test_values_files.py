"""The files of values in ci/, and the chart without values: linted, checked, valid in every version, as reviewed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import helm_python
import pytest

from tests.helm.support.charts import CHART, CI_FILES, read_values, render, render_texts
from tests.helm.support.object_checks import OBJECT_CHECKS
from tests.helm.support.outlines import golden_file, outline
from tests.helm.support.pod_checks import POD_CHECKS
from tests.helm.support.schemas import VERSIONS, invalid
from tests.helm.support.sixpoint_checks import SIXPOINT_CHECKS

NAMES = [file.name.removesuffix("-values.yaml") for file in CI_FILES]


def test_the_files_are_those_that_people_expect() -> None:
    assert set(NAMES) == {"minimal", "gpu", "ha", "openshift", "external-triton", "s3-everything"}
    assert len(VERSIONS) >= 10


@pytest.mark.parametrize("file", CI_FILES, ids=NAMES)
def test_a_file_of_values_is_sound(file: Path) -> None:
    documents = render(read_values(file))
    checks = (*POD_CHECKS, *OBJECT_CHECKS, *SIXPOINT_CHECKS)
    assert [f"{check.__name__}: {fault}" for check in checks for fault in check(documents)] == []
    assert invalid(documents) == []


@pytest.mark.parametrize("file", CI_FILES, ids=NAMES)
def test_a_file_of_values_renders_as_reviewed(file: Path) -> None:
    # After a change that is meant: python -m tests.helm.support.outlines, and look at the difference.
    assert outline(render(read_values(file))) == golden_file(file).read_text()


@pytest.mark.parametrize("values", [{}, *map(read_values, CI_FILES)], ids=["none", *NAMES])
def test_strict_lint_has_nothing_to_say(values: dict[str, Any]) -> None:
    result = helm_python.lint(CHART, values, strict=True, kube_version="1.37.0")
    # There is no icon: it would have to be at an address.
    assert [message["error"] for message in result["messages"]] == ["icon is recommended"]
    assert result["errors"] == []


def test_the_schemas_see_a_fault() -> None:
    documents = render({})
    assert invalid(documents) == []
    service = next(document for document in documents if document["kind"] == "Service")
    service["spec"]["ports"][0]["portt"] = 1
    assert len(invalid(documents)) == len(VERSIONS)


def test_the_default_install_needs_no_custom_resource_no_secret_and_one_writer_of_each_volume() -> None:
    documents = render({})
    groups = {document["apiVersion"].partition("/")[0] for document in documents}
    assert groups == {"v1", "apps", "policy", "networking.k8s.io"}
    assert {d["kind"] for d in documents if d["kind"].endswith(("Set", "Deployment"))} == {"StatefulSet", "Deployment"}
    text = "\n".join(render_texts({}).values())
    for absent in ("secretName", "secretKeyRef", "ReadWriteMany", "nvidia.com"):
        assert absent not in text


def test_the_notes_warn_of_what_is_unsafe() -> None:
    def notes(values: dict[str, Any]) -> str:
        return next(text for name, text in render_texts(values).items() if name.endswith("NOTES.txt"))

    default = notes({})
    assert "auth.mode is none" in default
    assert "triton.controlKey is not set" in default
    assert "sixpoint doctor 127.0.0.1:50051" in default
    assert "every pod of the cluster reaches Triton" in notes({"networkPolicy": {"enabled": False}})
    assert "WARNINGS" not in notes(read_values(CHART / "ci" / "ha-values.yaml"))
    exposed = read_values(CHART / "ci" / "openshift-values.yaml") | {
        "auth": {"mode": "none", "insecure": True},
        "viewers": {"enabled": True, "host": "viewers.example"},
    }
    assert "whoever reaches the gateway reads and changes everything" in notes(exposed)
    assert "sixpoint doctor --http https://viewers.example" in notes(exposed)


@pytest.mark.parametrize(
    ("values", "address", "trusts"),
    [
        ({}, "demo-sixpoint-gateway.imaging.svc:50051", False),
        ("ha", "https://demo-sixpoint-gateway.imaging.svc:50051", True),
        # Clients send tokens over TLS only, which ends before this gateway.
        ("s3-everything", "https://sixpoint.hospital.example:443", False),
        ({"test": {"address": "https://a.example:8443"}}, "https://a.example:8443", False),
        ({"tls": {"mode": "secret", "secretName": "sixpoint-tls"}, "test": {"ca": {"key": ""}}}, "https", False),
    ],
)
def test_the_pod_of_helm_test_asks_where_clients_can(values: dict[str, Any] | str, address: str, trusts: bool) -> None:
    documents = render(read_values(CHART / "ci" / f"{values}-values.yaml") if isinstance(values, str) else values)
    container = next(document for document in documents if document["kind"] == "Pod")["spec"]["containers"][0]
    assert container["command"][:2] == ["sixpoint", "doctor"]
    assert container["command"][2].startswith(address)
    assert ("SIXPOINT_CA_FILE" in {entry["name"] for entry in container["env"]}) == trusts
    policy = next(d for d in documents if (d["kind"], d["metadata"]["name"]) == ("NetworkPolicy", "demo-sixpoint-test"))
    ports = {port["port"] for rule in policy["spec"]["egress"] for port in rule["ports"]}
    outside = container["command"][2].rpartition(":")[2]
    assert int(outside) in ports if ".svc:" not in container["command"][2] else "grpc" in ports
