"""What the doctor says about the collector for traces."""

from __future__ import annotations

import socket
import sys
from pathlib import Path

import pytest

from tests.gateway.doctor.doctor_process import findings_of, only
from tests.support.ports import free_port


async def test_a_collector_that_is_away_is_a_note(tmp_path: Path) -> None:
    pytest.importorskip("opentelemetry.sdk", reason="the extra tracing is not installed")
    port = free_port()
    away = only(await findings_of(state_folder=tmp_path, traces_url=f"http://127.0.0.1:{port}"), "traces")
    assert (away.well, away.seen) == (True, f"the collector at 127.0.0.1:{port} cannot be reached")
    assert "SIXPOINT_TRACES_URL" in away.advice
    with socket.create_server(("127.0.0.1", port)):
        there = only(await findings_of(state_folder=tmp_path, traces_url=f"http://127.0.0.1:{port}"), "traces")
    assert (there.well, there.advice) == (True, "")


async def test_the_sdk_that_is_missing_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace", None)
    finding = only(await findings_of(state_folder=tmp_path, traces_url="http://127.0.0.1:1"), "traces")
    assert not finding.well
    assert "pip install" in finding.seen


async def test_without_traces_nothing_is_said(tmp_path: Path) -> None:
    assert "traces" not in {finding.what for finding in await findings_of(state_folder=tmp_path)}
