"""Data of a patient, planted wherever a caller can put text, are in no output but the caller's own."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import grpc
import pytest

import sixpoint
from gateway.authentication.token_editing import NewEntry, add_entry, new_token, token_digest
from gateway.authentication.token_file import EntryKind
from gateway.core.access import DEFAULT_TENANT, Role
from gateway.triton.local.server import LocalTriton
from sixpoint.errors import SixpointError
from sixpoint.phantom import make_phantom
from sixpoint.v1 import session_service_pb2 as session_pb
from sixpoint.v1 import session_service_pb2_grpc as session_grpc
from tests.gateway.observability.planting import PLANTED, plant, plant_in_http, plant_on_wire, traces_of_patient
from tests.support.certificates import write_certificates
from tests.support.collector import Collector, collecting
from tests.support.ports import free_port

pytest.importorskip("opentelemetry.sdk", reason="the extra tracing is not installed")

NAME, *_, UID, PATH = PLANTED


@dataclass
class Watched:
    """A gateway process of which everything is kept that it writes."""

    port: int
    status: int
    log: Path
    collector: Collector
    process: subprocess.Popen[bytes]

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def stop(self) -> list[dict[str, object]]:
        """End it; returns the lines of its log, of which each is JSON."""
        self.process.terminate()
        assert self.process.wait(60) == 0
        return [json.loads(line) for line in self.log.read_text().splitlines()]


@contextlib.contextmanager
def watched(folder: Path, triton_url: str, **settings: object) -> Iterator[Watched]:
    port, status, log = free_port(), free_port(), folder / "stderr"
    with collecting() as collector, log.open("wb") as stderr:
        values = {
            "port": port,
            "status_port": status,
            "triton_url": triton_url,
            "triton_poll_seconds": 0.1,
            "drain_notice_seconds": 0,
            "state_folder": folder / "state",
            "log_level": "DEBUG",
            "traces_url": collector.url,
        }
        named = {f"SIXPOINT_{key.upper()}": str(value) for key, value in (values | settings).items()}
        # Python's own warnings are lines, too, and the shell's setting must not hide what gRPC writes.
        environment = {key: value for key, value in os.environ.items() if key != "GRPC_VERBOSITY"} | named
        command = [sys.executable, "-W", "default", "-m", "gateway", "serve"]
        with subprocess.Popen(command, env=environment, stderr=stderr) as process:
            try:
                end = time.monotonic() + 60
                while b"gateway listening" not in log.read_bytes():
                    assert process.poll() is None, log.read_text()
                    assert time.monotonic() < end
                    time.sleep(0.05)
                yield Watched(port, status, log, collector, process)
            finally:
                process.kill()


def annotate(address: str) -> str:
    """A person's work, under a name, with the patient in the names of segments and requests; returns the session."""
    phantom = make_phantom()
    with sixpoint.Client(address, owner=NAME) as client:
        session = client.open_session(phantom.image, model="annotation", keep=True)
        session.annotate(sixpoint.ExtremePoints.of_mask(phantom.mask("liver")))
        session.rename(1, NAME)
        with pytest.raises(SixpointError):
            session.click((10**6, 1, 1), positive=True)
    return session.id


def seen_by_another(address: str, session_id: str) -> str:
    """What another caller hears who lists what there is, and is refused."""
    heard = []
    with sixpoint.Client(address, owner="other") as client:
        heard += [str(client.sessions()), str(client.count_sessions()), str(client.models())]
        for attempt in (
            lambda: client.resume("none"),
            lambda: client.close_session(session_id),
            lambda: client.open_session(make_phantom().image, model="none"),
        ):
            with contextlib.suppress(SixpointError):
                attempt()
        with pytest.raises(grpc.RpcError) as caught:
            session_grpc.SessionServiceStub(client.channel).ListSessions(
                session_pb.ListSessionsRequest(page_token="none"), timeout=20
            )
        heard.append(f"{caught.value} {caught.value.trailing_metadata()}")
    return "\n".join(heard)


@pytest.mark.slow
def test_nothing_of_a_patient_gets_out(triton: LocalTriton, tmp_path: Path) -> None:
    assert all(traces_of_patient(text) for text in PLANTED)
    triton_log = triton.settings.log
    assert triton_log is not None
    before = triton_log.stat().st_size
    with watched(tmp_path, triton.address) as gateway:
        while b"model ready" not in gateway.log.read_bytes() and b"annotation" not in gateway.log.read_bytes():
            time.sleep(0.05)
        session_id = annotate(gateway.address)
        assert min(plant(gateway.address, text) for text in PLANTED) > 50
        for text in PLANTED:
            plant_in_http(f"127.0.0.1:{gateway.status}", text)
            plant_on_wire(gateway.port, text)
            plant_on_wire(gateway.status, text)
        metrics = urllib.request.urlopen(f"http://127.0.0.1:{gateway.status}/metrics", timeout=20).read().decode()
        heard = seen_by_another(gateway.address, session_id)
        lines = gateway.stop()
    calls = [line for line in lines if line["message"] == "call"]
    assert len(calls) > 500
    assert {len(str(line["caller"])) for line in calls} == {0, 12}
    assert len(gateway.collector.spans) > 500
    assert "sixpoint_calls_total" in metrics
    outputs = {
        "log": gateway.log.read_text(),
        "metrics": metrics,
        "traces": "\n".join(gateway.collector.bodies),
        "another caller": heard,
        "Triton": triton_log.read_bytes()[before:].decode(errors="replace"),
    }
    assert {name: traces_of_patient(text)[:3] for name, text in outputs.items()} == {name: [] for name in outputs}


def test_a_client_that_speaks_nonsense_to_a_port_with_tls_leaves_the_log_json(tmp_path: Path) -> None:
    files = write_certificates(tmp_path / "files", "127.0.0.1")
    files.key.chmod(0o600)
    with watched(tmp_path, "127.0.0.1:1", tls_cert_file=files.certificate, tls_key_file=files.key) as gateway:
        for text in (*PLANTED, "\x16\x03\x01\x02\x00\x01\x00" + 100 * "x", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"):
            plant_on_wire(gateway.port, text)
        with pytest.raises(SixpointError), sixpoint.Client(gateway.address, retry=sixpoint.Retry.none()) as client:
            client.models()
        lines = gateway.stop()
    assert [line["message"] for line in lines if line["logger"] == "gateway.server"][-1] == "gateway stopped"
    assert traces_of_patient(gateway.log.read_text()) == []


@pytest.mark.slow
def test_a_file_that_the_command_line_reads_is_named_to_nobody_else(triton: LocalTriton, tmp_path: Path) -> None:
    folder = tmp_path / "data" / "patients" / "mustermann_erika"
    folder.mkdir(parents=True)
    phantom = make_phantom()
    phantom.image.write(folder / "ct.nii.gz")
    with watched(tmp_path, triton.address) as gateway:
        arguments = ["--server", gateway.address, "--model", "annotation"]
        for command in (
            ["annotate", str(folder / "ct.nii.gz"), "--points", "1,1,1", *arguments],
            ["annotate", PATH, "--points", "1,1,1", *arguments],
            ["resume", UID, "--server", gateway.address],
            ["models", "--label", NAME, "--server", gateway.address],
        ):
            subprocess.run([sys.executable, "-m", "sixpoint", *command], capture_output=True, timeout=120, check=False)
        gateway.stop()
    assert traces_of_patient(gateway.log.read_text() + "\n".join(gateway.collector.bodies)) == []


def test_credentials_that_are_refused_are_in_no_log(tmp_path: Path) -> None:
    token = new_token()
    entry = NewEntry("annotator", EntryKind.HEADER, NAME, DEFAULT_TENANT, Role.ANNOTATOR, None)
    add_entry(tmp_path / "tokens.toml", entry, key=token_digest(token))
    settings = {"auth": "tokens", "tokens_file": tmp_path / "tokens.toml", "path_tokens": True}
    with watched(tmp_path, "127.0.0.1:1", **settings) as gateway:
        for text in (*PLANTED, f"{token}x", "eyJhbGciOiJub25lIn0.eyJzdWIiOiJFcmlrYSBNdXN0ZXJtYW5uIn0."):
            with pytest.raises(SixpointError), sixpoint.Client(gateway.address, token=text) as client:
                client.sessions()
            plant_in_http(f"127.0.0.1:{gateway.status}", text)
        with sixpoint.Client(gateway.address, token=token) as client:
            assert client.sessions() == []
        lines = gateway.stop()
    log = gateway.log.read_text()
    assert token not in log
    assert "eyJhbGciOiJub25lIn0.eyJ" not in log
    assert traces_of_patient(log + "\n".join(gateway.collector.bodies)) == []
    callers = [line["caller"] for line in lines if line["message"] == "call"]
    assert len({caller for caller in callers if caller}) == 1
