"""What is generated is up to date, and describes every value and every setting."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import helm_python
import pytest
import yaml
from jsonschema import Draft202012Validator
from typer.testing import CliRunner

from gateway.cli import app
from gateway.settings import Settings
from gateway.triton.local.settings import LocalTritonSettings
from helm.generate import contents
from tests.helm.support.charts import CHART, environment, pods, render
from tests.helm.support.sixpoint_checks import gateway_settings
from tests.support.paths import ROOT


@pytest.mark.parametrize("path", contents(), ids=lambda path: path.name)
def test_generated_files_are_up_to_date(path: Path) -> None:
    assert path.read_text() == contents()[path], "run make chart"


def test_alerts_and_dashboard_are_those_that_the_gateway_writes(tmp_path: Path) -> None:
    assert CliRunner().invoke(app, ["monitoring", str(tmp_path)]).exit_code == 0
    for name in ("alerts.yaml", "dashboard.json"):
        assert (tmp_path / name).read_bytes() == (CHART / "files" / name).read_bytes()
    switches = {"rules": {"enabled": True}, "dashboard": {"enabled": True}}
    documents = render({"monitoring": switches})
    rule = next(document for document in documents if document["kind"] == "PrometheusRule")
    assert rule["spec"] == json.loads((tmp_path / "alerts.yaml").read_text())
    board = next(document for document in documents if "sixpoint.json" in document.get("data", {}))
    assert json.loads(board["data"]["sixpoint.json"]) == json.loads((tmp_path / "dashboard.json").read_text())


def test_there_is_one_version() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert (chart["version"], chart["appVersion"]) == (version, version)


def test_every_key_of_the_schema_is_described_and_no_other_is_taken() -> None:
    schema = json.loads((CHART / "values.schema.json").read_text())
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    Draft202012Validator.check_schema(schema)
    for place, part in objects(schema):
        assert part["additionalProperties"] is False, place
        for key, value in part["properties"].items():
            block = schema["$defs"].get(value.get("$ref", "").rpartition("/")[2], {})
            assert len(value.get("description") or block.get("description", "")) > 5, f"{place}.{key}"


def objects(part: Any, place: str = "values") -> Iterator[tuple[str, Any]]:
    """Every block of the schema that names its keys."""
    if isinstance(part, dict):
        if isinstance(part.get("properties"), dict) and part.get("type") == "object":
            yield place, part
        for key, value in part.items():
            yield from objects(value, f"{place}.{key}")


def test_the_schema_has_every_setting_of_the_gateway() -> None:
    schema = json.loads((CHART / "values.schema.json").read_text())
    settings = schema["$defs"]["Gateway"]["properties"]["settings"]["properties"]
    assert set(settings) == set(Settings.model_fields)
    assert {name: field.description for name, field in Settings.model_fields.items()} == {
        name: setting["description"] for name, setting in settings.items()
    }


def test_settings_reach_the_gateway_as_they_are_written() -> None:
    values = {"disk_bytes": 10 * 2**40, "triton_poll_seconds": 0.25, "reflection": False, "log_level": "DEBUG"}
    documents = render({"gateway": {"settings": values, "drain": {"noticeSeconds": 7, "seconds": 90}}})
    pod = next(pod for pod in pods(documents) if pod.owner["kind"] == "StatefulSet")
    settings = gateway_settings(environment(documents, pod))
    assert {name: getattr(settings, name) for name in values} == values
    assert (settings.drain_notice_seconds, settings.drain_seconds) == (7, 90)
    assert pod.spec["terminationGracePeriodSeconds"] == 7 + 90 + 15
    ports = {port["name"]: port["containerPort"] for port in pod.spec["containers"][0]["ports"]}
    assert ports == {"grpc": settings.port, "health": settings.health_port, "status": settings.status_port}


def test_traces_go_where_a_local_triton_would_send_them() -> None:
    url = "http://collector.monitoring.svc:4318"
    documents = render({"monitoring": {"tracesUrl": url}})
    by_kind = {pod.owner["kind"]: pod for pod in pods(documents)}
    settings = gateway_settings(environment(documents, by_kind["StatefulSet"]))
    assert settings.traces_url == f"{url}/v1/traces"
    arguments = [arg for arg in by_kind["Deployment"].spec["containers"][0]["args"] if arg.startswith("--trace-config")]
    assert arguments == LocalTritonSettings(traces_url=settings.traces_url).trace_arguments()
    policies = {d["metadata"]["name"]: d["spec"]["egress"] for d in documents if "egress" in d.get("spec", {})}
    for name in ("demo-sixpoint-gateway", "demo-sixpoint-triton"):
        assert {"ports": [{"protocol": "TCP", "port": 4318}]} in policies[name]


@pytest.mark.parametrize(
    ("url", "port"), [("https://10.0.0.17", 443), ("http://10.0.0.17/v1/traces", 80), ("http://[fd00::17]:9999/", 9999)]
)
def test_pods_reach_the_port_of_the_collector(url: str, port: int) -> None:
    documents = render({"monitoring": {"tracesUrl": url}})
    policy = next(
        d for d in documents if (d["kind"], d["metadata"]["name"]) == ("NetworkPolicy", "demo-sixpoint-triton")
    )
    assert policy["spec"]["egress"][-1] == {"ports": [{"protocol": "TCP", "port": port}]}


def test_other_settings_give_other_pods_and_the_same_give_the_same() -> None:
    def checksum(sessions: int) -> str:
        documents = render({"gateway": {"settings": {"max_sessions": sessions}}})
        pod = next(pod for pod in pods(documents) if pod.owner["kind"] == "StatefulSet")
        return pod.annotations["checksum/environment"]

    assert checksum(5) == checksum(5) != checksum(6)


def test_templates_render_the_same_anywhere() -> None:
    # What asks the cluster, or rolls dice, makes a GitOps controller see a change where there is none.
    for file in (CHART / "templates").rglob("*.*"):
        unstable = re.search(r"\.Capabilities|\blookup\b|\brand[A-Z]\w+|\bgenCA\b|\bnow\b", file.read_text())
        assert not unstable, file


def test_the_chart_is_packaged_without_what_only_its_makers_need(tmp_path: Path) -> None:
    chart = helm_python.Chart.load(CHART)
    archive = helm_python.Chart.load(chart.save(tmp_path))
    assert archive.version == chart.version
    assert {file["name"] for file in archive.files} == {
        ".helmignore",
        "README.md",
        "files/alerts.yaml",
        "files/dashboard.json",
    }
    assert archive.render({}, name="demo", namespace="imaging") == chart.render({}, name="demo", namespace="imaging")
