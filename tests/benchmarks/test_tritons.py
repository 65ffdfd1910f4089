"""The measurement of several Tritons, short and with one."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from benchmarks.images.examples import read_example
from benchmarks.tritons import WaitingTriton, measure_throughput
from tests.support.paths import TRITON_ENVIRONMENT


@pytest.mark.slow
@pytest.mark.triton
@pytest.mark.skipif(not TRITON_ENVIRONMENT.is_dir(), reason="Triton is not installed: make triton")
def test_prompts_through_a_waiting_triton_are_counted(tmp_path: Path) -> None:
    triton, example = WaitingTriton(tmp_path / "triton", environment=TRITON_ENVIRONMENT), read_example(None, None)
    asyncio.run(triton.start())
    try:
        figures = measure_throughput([triton], example, counts=(1,), wait=0.05, seconds=1.0)
    finally:
        asyncio.run(triton.stop())
    assert [(figure.value, figure.met) for figure in figures] == [(1.0, None)]
