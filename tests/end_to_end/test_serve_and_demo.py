"""``gateway demo`` and ``gateway serve --local-triton``."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import sixpoint
from sixpoint.metrics import dice
from sixpoint.phantom import make_phantom
from tests.end_to_end.command_line import run
from tests.support.paths import ROOT, TRITON_ENVIRONMENT
from tests.support.ports import free_port

pytestmark = [pytest.mark.triton, pytest.mark.slow]


@pytest.fixture
def ports() -> dict[str, str]:
    if not TRITON_ENVIRONMENT.is_dir():
        pytest.skip("Triton is not installed: make triton")
    names = ("SIXPOINT_PORT", "SIXPOINT_TRITON_GRPC_PORT", "SIXPOINT_TRITON_METRICS_PORT")
    return {name: str(free_port()) for name in names}


def test_the_demo_outlines_the_phantom_and_stops_its_servers(ports: dict[str, str], tmp_path: Path) -> None:
    done = run("gateway", "demo", "--output", tmp_path, **ports)
    assert done.returncode == 0, done.stderr
    assert "Dice" in done.stdout
    mask = sixpoint.Volume.read(tmp_path / "mask.nii.gz")
    assert dice(mask.array, make_phantom().mask("liver")) > 0.85
    assert (tmp_path / "preview.png").read_bytes().startswith(b"\x89PNG")
    left = subprocess.run(["pgrep", "-f", ports["SIXPOINT_TRITON_GRPC_PORT"]], capture_output=True, check=False)
    assert left.stdout == b""


@pytest.mark.parametrize("name", ["SIXPOINT_PORT", "SIXPOINT_TRITON_GRPC_PORT"])
def test_the_demo_names_a_used_port_and_the_variable_that_changes_it(
    ports: dict[str, str], tmp_path: Path, name: str
) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", int(ports[name])))
        taken.listen()
        done = run("gateway", "demo", "--output", tmp_path, **ports)
    assert done.returncode == 1
    assert ports[name] in done.stderr
    assert name in done.stderr
    assert "Traceback" not in done.stderr


@contextlib.contextmanager
def serving(ports: dict[str, str], state: Path) -> Iterator[subprocess.Popen[str]]:
    """``gateway serve --local-triton`` with this state folder, once it serves models."""
    process = subprocess.Popen(
        [sys.executable, "-m", "gateway", "serve", "--local-triton"],
        env=os.environ | ports | {"SIXPOINT_STATE_FOLDER": str(state)},
        cwd=ROOT,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        server = f"127.0.0.1:{ports['SIXPOINT_PORT']}"
        end = time.monotonic() + 60
        while run("sixpoint", "models", server=server).returncode and time.monotonic() < end:
            time.sleep(0.3)
        yield process
    finally:
        process.kill()


def test_what_is_published_serves_and_the_checkout_stays_as_it_is(ports: dict[str, str], tmp_path: Path) -> None:
    def changes() -> str:
        status = ["git", "status", "--porcelain", "--ignored", "model_repository", "state"]
        return subprocess.run(status, cwd=ROOT, capture_output=True, text=True, check=True).stdout

    before = changes()
    state = {"SIXPOINT_STATE_FOLDER": str(tmp_path)}
    triton = f"127.0.0.1:{ports['SIXPOINT_TRITON_GRPC_PORT']}"
    source = "model_repository/segmentation_hippocampus"
    with serving(ports, tmp_path) as process:
        done = run("exporter", "publish", source, "--name", "mine", "--triton", triton, **state)
        assert done.returncode == 0, done.stderr
        assert f"{tmp_path}/model_repository/mine/1/model.onnx" in done.stdout
        listed = run("exporter", "versions", "annotation", "--json", **state)
        assert [one["state"] for one in json.loads(listed.stdout)] == ["serving"]
        process.send_signal(signal.SIGINT)
        log = process.communicate(timeout=40)[1]
    assert f"Triton serves the models in {tmp_path}/model_repository, a copy of {ROOT}/model_repository" in log
    assert changes() == before


def test_serve_ends_cleanly_on_ctrl_c(ports: dict[str, str], tmp_path: Path) -> None:
    with serving(ports, tmp_path) as process:
        process.send_signal(signal.SIGINT)
        assert process.wait(40) == 0
        log = process.stderr.read() if process.stderr else ""
        assert "Traceback" not in log
        assert "gateway stopped" in log
    left = subprocess.run(["pgrep", "-f", ports["SIXPOINT_TRITON_GRPC_PORT"]], capture_output=True, check=False)
    assert left.stdout == b""
