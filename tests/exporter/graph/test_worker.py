"""The exporter's own processes know no secrets."""

from __future__ import annotations

from pathlib import Path

import pytest

from exporter.graph.limited_process import LimitedProcess, RunLimits

SECRETS = ("SIXPOINT_TRITON_KEY", "SIXPOINT_DATABASE_URL", "AWS_SECRET_ACCESS_KEY", "HF_TOKEN")


def test_a_process_for_a_strangers_graph_gets_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in SECRETS:
        monkeypatch.setenv(name, "hunter2")
    process = LimitedProcess("exporter.graph.session_worker", RunLimits(seconds=60, memory_bytes=2**30), name="x.onnx")
    try:
        # It waits for its first message.
        for what in ("environ", "cmdline"):
            content = Path(f"/proc/{process._process.pid}/{what}").read_bytes()
            assert content
            assert b"hunter2" not in content
    finally:
        process.close()
