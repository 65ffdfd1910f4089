"""The exporter's own processes know no secrets."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from exporter.graph.limited_process import LimitedProcess, RunLimits

SECRETS = ("SIXPOINT_TRITON_KEY", "SIXPOINT_DATABASE_URL", "AWS_SECRET_ACCESS_KEY", "HF_TOKEN")


def _read(path: Path) -> bytes:
    """What the system says of a process; it says nothing until the program has begun."""
    end = time.monotonic() + 30
    while time.monotonic() < end:
        if content := path.read_bytes():
            return content
        time.sleep(0.01)
    raise AssertionError("the process has not begun")


def test_a_process_for_a_strangers_graph_gets_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in SECRETS:
        monkeypatch.setenv(name, "hunter2")
    process = LimitedProcess("exporter.graph.session_worker", RunLimits(seconds=60, memory_bytes=2**30), name="x.onnx")
    try:
        # It waits for its first message.
        for what in ("environ", "cmdline"):
            content = _read(Path(f"/proc/{process._process.pid}/{what}"))
            assert b"hunter2" not in content
    finally:
        process.close()
