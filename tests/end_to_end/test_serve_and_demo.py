"""``gateway demo`` and ``gateway serve --local-triton``."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
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


def test_serve_ends_cleanly_on_ctrl_c(ports: dict[str, str], tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "gateway", "serve", "--local-triton"],
        env=os.environ | ports | {"SIXPOINT_STATE_FOLDER": str(tmp_path)},
        cwd=ROOT,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        server = f"127.0.0.1:{ports['SIXPOINT_PORT']}"
        end = time.monotonic() + 60
        while run("sixpoint", "models", server=server).returncode and time.monotonic() < end:
            time.sleep(0.3)
        process.send_signal(signal.SIGINT)
        assert process.wait(40) == 0
        log = process.stderr.read() if process.stderr else ""
        assert "Traceback" not in log
        assert "gateway stopped" in log
    finally:
        process.kill()
    left = subprocess.run(["pgrep", "-f", ports["SIXPOINT_TRITON_GRPC_PORT"]], capture_output=True, check=False)
    assert left.stdout == b""
