"""The doctor beside real processes: a healthy gateway, and faults of its surroundings."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner

from gateway.cli import app
from gateway.triton.local.server import LocalTriton
from tests.gateway.doctor.doctor_process import NOWHERE, ask_doctor, findings_of, only
from tests.gateway.process import gateway_process
from tests.support.certificates import write_certificates
from tests.support.models import ELLIPSOID_SPEC, write_config, write_ellipsoid_model
from tests.support.ports import free_port
from tests.support.servers import running_triton

pytestmark = pytest.mark.triton

_LISTENS = """
import socket, sys, time
listener = socket.create_server(("127.0.0.1", int(sys.argv[1])))
time.sleep(60)
"""


def everything_in(folder: Path) -> dict[str, tuple[int, int]]:
    paths = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): (path.stat().st_mtime_ns, path.stat().st_size) for path in paths}


def test_all_is_well_before_the_first_start_and_nothing_is_made(triton: LocalTriton, tmp_path: Path) -> None:
    files = write_certificates(tmp_path / "certificates", "gateway.example")
    files.key.chmod(0o600)
    report = ask_doctor(
        cwd=tmp_path,
        triton_url=triton.address,
        port=free_port(),
        status_port=free_port(),
        tls_cert_file=files.certificate,
        tls_key_file=files.key,
    )
    assert report.code == 0
    assert all(finding.well for finding in report.findings)
    assert [path.name for path in tmp_path.iterdir()] == ["certificates"]
    names = [finding.what for finding in report.findings]
    assert {"settings", "certificate", "SIXPOINT_TLS_KEY_FILE", "database", "blob store", "open files"} < set(names)
    certificate = only(report.findings, "certificate").seen
    assert certificate.startswith("for gateway.example, from ")
    assert certificate.endswith("its key belongs to it")
    assert "serves annotation" in only(report.findings, f"Triton {triton.address}").seen


@pytest.mark.slow
def test_a_gateway_that_runs_is_recognised_and_not_disturbed(triton: LocalTriton, tmp_path: Path) -> None:
    state = tmp_path / "state"
    with gateway_process(triton.address, state) as process:
        before = everything_in(state)
        report = ask_doctor(cwd=tmp_path, triton_url=triton.address, port=process.port, state_folder=state)
        # SQLite's index of its log is memory that all readers share.
        assert [name for name in everything_in(state) if name not in before] == []
        pid = process.running.pid
    assert report.code == 0
    port = only(report.findings, f"port {process.port}")
    assert port.seen == f"a gateway listens on it, process {pid} (SIXPOINT_PORT)"
    assert "its tables are current" in only(report.findings, "database").seen


async def test_who_has_the_port_is_said(tmp_path: Path) -> None:
    port = free_port()
    with subprocess.Popen([sys.executable, "-c", _LISTENS, str(port), "hunter2"]) as other:
        try:
            while "free" in (found := only(await findings_of(port=port, state_folder=tmp_path), f"port {port}")).seen:
                pass
        finally:
            other.kill()
    assert not found.well
    assert found.seen == f"taken by process {other.pid} ({Path(sys.executable).name})"
    assert found.advice == "Stop that process, or choose another port with SIXPOINT_PORT."


def test_faults_do_not_hide_each_other_and_no_secret_is_shown(tmp_path: Path) -> None:
    until = datetime.now(UTC) - timedelta(1)
    files = write_certificates(tmp_path / "certificates", "gateway.example", until=until)
    (tmp_path / "url").write_text(f"postgresql://me:hunter2@{NOWHERE}/x")
    (tmp_path / "url").chmod(0o644)
    report = ask_doctor(
        cwd=tmp_path,
        prefix=("prlimit", "--nofile=256:256"),
        triton_url=NOWHERE,
        triton_key="hunter2",
        port=free_port(),
        prot=1,
        tls_cert_file=files.certificate,
        tls_key_file=files.key,
        database_url_file=tmp_path / "url",
    )
    assert report.code == 1
    assert "hunter2" not in report.output
    wrong = {finding.what: finding.seen for finding in report.findings if not finding.well}
    assert set(wrong) == {"settings", "certificate", "database", "open files", f"Triton {NOWHERE}"}
    assert "SIXPOINT_PROT is no setting of sixpoint and is ignored; did you mean SIXPOINT_PORT?" in wrong["settings"]
    assert "it has expired" in wrong["certificate"]
    assert wrong["database"].startswith("it cannot be reached: ")
    assert wrong["open files"] == (
        "256 files may be open, enough for 128 connections; SIXPOINT_MAX_CONNECTIONS is 1000"
    )
    assert "Every user of this machine may read it" in only(report.findings, "SIXPOINT_DATABASE_URL_FILE").advice


@pytest.mark.parametrize(
    ("variable", "value", "problem"),
    [
        ("SIXPOINT_PORT", "hunter2", "settings: SIXPOINT_PORT: Input should be a valid integer"),
        ("SIXPOINT_DATABASE_URL_FILE", "/dev/null", "SIXPOINT_DATABASE_URL_FILE must name a file; it names a folder"),
        ("SIXPOINT_TLS_CERT_FILE", "x", "settings: SIXPOINT_TLS_CERT_FILE and SIXPOINT_TLS_KEY_FILE need each other"),
    ],
)
def test_settings_with_which_no_gateway_starts_are_a_finding(variable: str, value: str, problem: str) -> None:
    done = CliRunner().invoke(app, ["doctor", "--json"], env={variable: value})
    assert done.exit_code == 1
    (finding,) = json.loads(done.stdout)
    assert finding["seen"].startswith(problem)
    # Defaults that could not be computed are no faults of their own.
    assert "default factory" not in finding["seen"]
    assert "hunter2" not in done.output


def test_a_person_reads_marks_and_advice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    environment = {"SIXPOINT_TRITON_URL": NOWHERE, "SIXPOINT_PORT": str(free_port()), "COLUMNS": "200"}
    done = CliRunner().invoke(app, ["doctor"], env=environment)
    assert done.exit_code == 1
    assert "ok    database: there is no database yet; it is made at the start\n" in done.stdout
    assert f"wrong Triton {NOWHERE}: Triton cannot be reached just now; try again\n      Look whether" in done.stdout


def test_models_that_do_not_serve_are_named_with_the_reason(tmp_path: Path) -> None:
    repository = tmp_path / "models"
    write_ellipsoid_model(repository / "good")
    write_ellipsoid_model(repository / "broken")
    (repository / "broken" / "1" / "model.onnx").write_bytes(b"no network")
    write_config(repository / "foreign", backend="onnxruntime", spec=ELLIPSOID_SPEC, with_spec=False)
    shutil.copytree(repository / "good" / "1", repository / "foreign" / "1")
    with running_triton(repository) as triton:
        state = tmp_path / "state"
        found = asyncio.run(findings_of(triton_url=triton.address, state_folder=state))
        refused = asyncio.run(findings_of(triton_url=triton.address, triton_key="wrong", state_folder=state))
    assert only(found, f"Triton {triton.address}").seen == "reached; serves good 1"
    assert only(found, "model foreign").seen == "its config has no ModelSpec, or no version but the candidate"
    assert only(found, "model broken").seen.startswith("Triton cannot load it: ")
    assert "wants the key of its control API" in only(refused, f"Triton {triton.address}").seen


async def test_a_local_triton_is_checked_before_it_runs(triton: LocalTriton, tmp_path: Path) -> None:
    missing = await findings_of(local_triton=True, triton_environment=tmp_path, state_folder=tmp_path)
    assert only(missing, "local Triton").seen.startswith(f"no Triton in {tmp_path} (tritonserver is missing)")
    ports = {"triton_grpc_port": triton.settings.grpc_port, "triton_metrics_port": free_port()}
    environment = triton.settings.environment
    settings = {"triton_environment": environment, "triton_model_repository": tmp_path, "state_folder": tmp_path}
    taken = only(await findings_of(local_triton=True, **settings, **ports), "local Triton")
    assert not taken.well
    assert "SIXPOINT_TRITON_GRPC_PORT" in taken.seen
    ports["triton_grpc_port"] = free_port()
    assert only(await findings_of(local_triton=True, **settings, **ports), "local Triton").well
    assert list(tmp_path.iterdir()) == []
