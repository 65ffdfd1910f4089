"""Alert rules and dashboard, in the real Prometheus over a real gateway."""

from __future__ import annotations

import json
import subprocess
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

import sixpoint
from gateway.cli import app
from gateway.observability.alerts import ALERTS, alert_rules
from gateway.observability.dashboard import PANELS, dashboard
from gateway.triton.local.server import LocalTriton
from sixpoint.errors import InvalidArgument
from sixpoint.phantom import make_phantom
from tests.support.ports import free_port
from tests.support.prometheus import prometheus_program
from tests.support.servers import running_gateway

# What Grafana would put in place of its variable, for samples a second apart.
INTERVAL = "10s"


def ask(address: str, expression: str) -> list[Any]:
    """The result of a PromQL expression."""
    query = urllib.parse.urlencode({"query": expression.replace("$__rate_interval", INTERVAL)})
    with urllib.request.urlopen(f"http://{address}/api/v1/query?{query}", timeout=20) as response:
        answer = json.load(response)
    assert answer["status"] == "success"
    result: list[Any] = answer["data"]["result"]
    return result


@pytest.fixture(scope="module")
def prometheus(triton: LocalTriton, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of a Prometheus that has seen a gateway at work."""
    program = prometheus_program("prometheus")
    folder = tmp_path_factory.mktemp("prometheus")
    with running_gateway(triton_url=triton.address, status_port=0) as gateway:
        (folder / "alerts.yaml").write_text(json.dumps(alert_rules()))
        config = {
            "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
            "rule_files": ["alerts.yaml"],
            "scrape_configs": [
                {
                    "job_name": "sixpoint",
                    "static_configs": [{"targets": [f"127.0.0.1:{gateway.status_ports['status']}"]}],
                }
            ],
        }
        (folder / "prometheus.yml").write_text(json.dumps(config))
        address = f"127.0.0.1:{free_port()}"
        command = [
            program,
            "--config.file=prometheus.yml",
            f"--web.listen-address={address}",
            "--storage.tsdb.path=data",
        ]
        with (folder / "log").open("w") as log, subprocess.Popen(command, cwd=folder, stderr=log) as process:
            try:
                phantom = make_phantom()
                points = sixpoint.ExtremePoints.of_mask(phantom.mask("liver"))
                with sixpoint.Client(f"127.0.0.1:{gateway.port}") as client:
                    end = time.monotonic() + 60
                    while time.monotonic() < end:
                        with client.open_session(phantom.image, model="annotation") as session:
                            session.annotate(points)
                        time.sleep(0.5)
                        if process.poll() is None and _rates_are_known(address):
                            break
                yield address
            finally:
                process.terminate()


def test_promtool_has_nothing_against_the_metrics() -> None:
    with running_gateway(ready=False, triton_url="127.0.0.1:1", status_port=0) as gateway:
        url = f"http://127.0.0.1:{gateway.status_ports['status']}/metrics"
        with urllib.request.urlopen(url, timeout=20) as response:
            text = response.read()
    command = [prometheus_program("promtool"), "check", "metrics"]
    done = subprocess.run(command, input=text, capture_output=True, check=False)
    assert (done.returncode, done.stdout + done.stderr) == (0, b"")


def _rates_are_known(address: str) -> bool:
    try:
        return bool(ask(address, "rate(sixpoint_answers_total[10s]) > 0"))
    except OSError:
        return False


@pytest.mark.slow
def test_every_panel_shows_something(prometheus: str) -> None:
    for panel in PANELS:
        for expression, _ in panel.queries:
            # Nothing was segmented.
            assert ask(prometheus, expression) or "segmentation" in expression, panel.title


@pytest.mark.slow
def test_no_alert_has_a_cause_while_all_is_well(prometheus: str) -> None:
    for alert in ALERTS:
        assert ask(prometheus, alert.expression) == [], alert.name


SERIES = {
    "SixpointDown": {'up{job="sixpoint", instance="a"}': "0x60"},
    "SixpointStoreAway": {'sixpoint_store_up{instance="a", store="database"}': "0x60"},
    "SixpointTritonAway": {'sixpoint_triton_up{instance="a", triton="b:8001"}': "0x60"},
    "SixpointServesNoModel": {'sixpoint_build_info{instance="a", version="1"}': "1x60"},
    "SixpointCallsFail": {
        'sixpoint_calls_total{instance="a", code="OK"}': "0+60x60",
        'sixpoint_calls_total{instance="a", code="INTERNAL"}': "0+6x60",
    },
    "SixpointPromptsSlow": {
        'sixpoint_call_seconds_bucket{instance="a", method="AnnotationService/Annotate", le="5"}': "0+5x60",
        'sixpoint_call_seconds_bucket{instance="a", method="AnnotationService/Annotate", le="10"}': "0+6x60",
        'sixpoint_call_seconds_bucket{instance="a", method="AnnotationService/Annotate", le="+Inf"}': "0+6x60",
    },
    "SixpointAuthenticationFails": {'sixpoint_failed_authentications_total{instance="a", kind="unknown"}': "0+120x60"},
    "SixpointCallsWait": {
        'sixpoint_waiting_calls{instance="a", kind="inference"}': "30x60",
    },
    "SixpointJobsWait": {
        'sixpoint_jobs{instance="a", state="waiting"}': "2x60",
        'sixpoint_jobs{instance="b", state="waiting"}': "2x60",
        'sixpoint_jobs{instance="a", state="running"}': "0x60",
        'sixpoint_jobs{instance="b", state="running"}': "0x60",
    },
    "SixpointTracesLost": {
        'sixpoint_trace_spans_total{instance="a", outcome="exported"}': "0+60x60",
        'sixpoint_trace_spans_total{instance="a", outcome="dropped"}': "0+1x60",
    },
    "SixpointNearlyFull": {
        'sixpoint_stored{instance="a", what="image_bytes"}': "95x60",
        'sixpoint_stored_limit{instance="a", what="image_bytes"}': "100x60",
    },
    "SixpointCertificateExpiresSoon": {'sixpoint_certificate_expiry_seconds{instance="a"}': "1000000-60x120"},
    "SixpointCertificateExpired": {'sixpoint_certificate_expiry_seconds{instance="a"}': "1200-60x60"},
}
"""For each alert, samples a minute apart with which it must fire."""

WELL = {
    'up{job="sixpoint", instance="a"}': "1x60",
    'sixpoint_store_up{instance="a", store="database"}': "1x60",
    'sixpoint_triton_up{instance="a", triton="b:8001"}': "1x60",
    'sixpoint_build_info{instance="a", version="1"}': "1x60",
    'sixpoint_model_served{instance="a", model="annotation", version="5"}': "1x60",
    'sixpoint_calls_total{instance="a", code="OK"}': "0+60x60",
    'sixpoint_calls_total{instance="a", code="INVALID_ARGUMENT"}': "0+60x60",
    'sixpoint_call_seconds_bucket{instance="a", method="AnnotationService/Annotate", le="5"}': "0+6x60",
    'sixpoint_call_seconds_bucket{instance="a", method="AnnotationService/Annotate", le="+Inf"}': "0+6x60",
    'sixpoint_failed_authentications_total{instance="a", kind="unknown"}': "0+30x60",
    'sixpoint_waiting_calls{instance="a", kind="inference"}': "15x60",
    'sixpoint_waiting_calls{instance="a", kind="prompt"}': "15x60",
    'sixpoint_jobs{instance="a", state="waiting"}': "5x60",
    'sixpoint_jobs{instance="a", state="running"}': "1x60",
    'sixpoint_trace_spans_total{instance="a", outcome="exported"}': "0+60x60",
    'sixpoint_trace_spans_total{instance="a", outcome="failed"}': "0x60",
    'sixpoint_stored{instance="a", what="image_bytes"}': "80x60",
    'sixpoint_stored_limit{instance="a", what="image_bytes"}': "100x60",
    'sixpoint_certificate_expiry_seconds{instance="a"}': "1300000-60x60",
}


def test_each_alert_fires_when_it_should_and_only_then(tmp_path: Path) -> None:
    promtool = prometheus_program("promtool")
    assert set(SERIES) == {alert.name for alert in ALERTS}
    tests = [_unit_test(alert.name, SERIES[alert.name], fires=True) for alert in ALERTS]
    tests += [_unit_test(alert.name, WELL, fires=False) for alert in ALERTS]
    (tmp_path / "alerts.yaml").write_text(json.dumps(alert_rules()))
    content = {"rule_files": ["alerts.yaml"], "evaluation_interval": "1m", "tests": tests}
    (tmp_path / "tests.yaml").write_text(json.dumps(content))
    for arguments in (["check", "rules", "alerts.yaml"], ["test", "rules", "tests.yaml"]):
        done = subprocess.run([promtool, *arguments], cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


def _unit_test(name: str, series: dict[str, str], *, fires: bool) -> dict[str, object]:
    """A unit test of promtool: whether an alert fires after 40 minutes."""
    samples = [{"series": key, "values": values} for key, values in series.items()]
    # promtool compares all labels and texts of an alert: the metric that it leaves behind does not know them.
    firing = f'count(ALERTS{{alertname="{name}", alertstate="firing"}})'
    expected = [{"labels": "{}", "value": 1}] if fires else []
    queries = [{"expr": firing, "eval_time": "40m", "exp_samples": expected}]
    return {"interval": "1m", "input_series": samples, "promql_expr_test": queries}


def test_the_command_writes_what_prometheus_and_grafana_read(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["monitoring", str(tmp_path / "out")])
    assert done.exit_code == 0
    assert yaml.safe_load((tmp_path / "out" / "alerts.yaml").read_text()) == alert_rules()
    content = json.loads((tmp_path / "out" / "dashboard.json").read_text())
    assert content == json.loads(json.dumps(dashboard()))
    places = {(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in content["panels"]}
    assert len(places) == len({panel["id"] for panel in content["panels"]}) == len(PANELS)


def test_rules_that_an_operator_changed_are_not_replaced_without_a_word(tmp_path: Path) -> None:
    def write(*options: str) -> object:
        return CliRunner().invoke(app, ["monitoring", str(tmp_path), *options]).exception

    assert write() is None
    assert write() is None
    (tmp_path / "dashboard.json").unlink()
    (tmp_path / "alerts.yaml").write_text("groups: []\n")
    refused = write()
    assert isinstance(refused, InvalidArgument)
    assert "alerts.yaml exists with other content; name another folder, or give --force" in str(refused)
    assert (tmp_path / "alerts.yaml").read_text() == "groups: []\n"
    assert not (tmp_path / "dashboard.json").exists()
    assert write("--force") is None
    assert yaml.safe_load((tmp_path / "alerts.yaml").read_text()) == alert_rules()


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    done = CliRunner().invoke(app, ["monitoring", str(tmp_path / "file")])
    assert isinstance(done.exception, InvalidArgument)
    assert str(done.exception).startswith(f"cannot write to {tmp_path / 'file'}: File exists; name a folder")
