"""The measurement of what safeguards cost, short."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from benchmarks.images.examples import read_example
from benchmarks.safeguards import SWITCHES, measure, surroundings
from benchmarks.servers.waiting_triton import WaitingTriton
from tests.support.paths import TRITON_ENVIRONMENT

pytest.importorskip("opentelemetry.sdk", reason="the extra tracing is not installed")


@pytest.mark.slow
@pytest.mark.triton
@pytest.mark.skipif(not TRITON_ENVIRONMENT.is_dir(), reason="Triton is not installed: make triton")
def test_gateways_with_all_safeguards_and_with_none_are_compared(tmp_path: Path) -> None:
    triton, example = WaitingTriton(tmp_path / "triton", environment=TRITON_ENVIRONMENT), read_example(None, None)
    asyncio.run(triton.start())
    try:
        with surroundings() as around:
            figures = measure(example, around, triton=triton.address, rounds=1, combinations=[tuple(SWITCHES)])
    finally:
        asyncio.run(triton.stop())
    assert [figure.name.partition(":")[0].partition(",")[0] for figure in figures] == [
        *2 * ["a prompt without safeguards"],
        *3 * ["TLS"],
    ]
    assert [figure.maximum for figure in figures] == [None, None, 1.5, None, None]
    assert figures[0].value > figures[1].value > 0
