"""Several real Tritons behind one gateway: versions on some of them, slow ones, dead ones, restarts, names."""

from __future__ import annotations

import asyncio
import signal
import threading
import time
from collections.abc import Iterator

import numpy as np
import pytest

import sixpoint
from benchmarks.servers.local_servers import started_tritons
from gateway.triton import client
from gateway.triton import pool as pool_module
from sixpoint.errors import TritonUnavailable
from sixpoint.protocol.triton_addresses import TritonName
from tests.gateway.prompts import SIX
from tests.gateway.triton.several_tritons import Triton, ask, ask_often, pool_of, reached, segmentation_spec
from tests.support.images import noisy_volume
from tests.support.paths import TRITON_ENVIRONMENT
from tests.support.servers import running_gateway, signal_triton

pytestmark = pytest.mark.triton


@pytest.fixture(scope="module")
def tritons(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Triton]]:
    """Three Tritons; the model "newer" has version 1 on the first and version 2 on the second, which has "alone"."""
    if not TRITON_ENVIRONMENT.is_dir():
        pytest.skip("Triton is not installed: make triton")
    folder = tmp_path_factory.mktemp("tritons")
    tritons = [Triton(folder / str(number), number) for number in (201, 202, 203)]
    for triton in tritons:
        triton.add("who")
    for version, triton in enumerate(tritons[:2], start=1):
        triton.add("newer", version=version)
        triton.add("patches", spec=segmentation_spec())
    tritons[1].add("alone")
    with started_tritons(tritons):
        yield tritons


def addresses(tritons: list[Triton]) -> str:
    return ",".join(triton.address for triton in tritons)


async def test_a_version_is_asked_only_where_it_answered_its_trial(tritons: list[Triton]) -> None:
    async with pool_of(addresses(tritons), reachable=3) as (pool, catalog):
        assert [(model.name, model.version) for model in catalog.list(tenant="default")] == [
            ("alone", "1"),
            ("newer", "2"),
            ("patches", "1"),
            ("who", "1"),
        ]
        for version, number in (("", 202), ("2", 202), ("1", 201)):
            results = await asyncio.gather(*(ask(pool, catalog, "newer", version=version) for _ in range(6)))
            assert {(one.version, int(one.output.flat[0])) for one in results} == {(version or "2", number)}
        # A version that none has is answered by the newest, and says so.
        assert (await ask(pool, catalog, "newer", version="7")).version in {"1", "2"}


async def test_a_slow_triton_gets_few_calls_and_as_many_as_the_others_once_it_is_fast(tritons: list[Triton]) -> None:
    for triton in tritons:
        triton.slow_down(0.02)
    tritons[2].slow_down(0.4)
    try:
        async with pool_of(addresses(tritons), reachable=3) as (pool, catalog):
            await ask_often(pool, catalog, 6)
            # One after the other, so that the slow one is idle for every call.
            answers = await ask_often(pool, catalog, 100, callers=1)
            assert answers[203] <= 4  # they do not reach the 95th percentile
            tritons[2].slow_down(0.02)
            async with asyncio.timeout(20):
                while (await ask_often(pool, catalog, 60))[203] < 10:
                    pass
    finally:
        for triton in tritons:
            triton.slow_down(0.0)


async def test_a_triton_that_is_killed_under_load_fails_no_call_and_returns(
    tritons: list[Triton], caplog: pytest.LogCaptureFixture
) -> None:
    async with pool_of(addresses(tritons), reachable=3) as (pool, catalog):
        for triton in tritons:
            triton.slow_down(0.02)
        load = asyncio.create_task(ask_often(pool, catalog, 100, callers=6))
        await asyncio.sleep(0.2)
        await tritons[1].kill()
        assert (await load).total() == 100
        assert "triton fails, others are preferred" in caplog.text
        await reached(pool, 2)
        # The only Triton with the newest version is away: the next one answers.
        assert (catalog.get("newer", tenant="default").version, (await ask(pool, catalog, "newer")).version) == (
            "1",
            "1",
        )
        with pytest.raises(TritonUnavailable, match="no Triton that serves model 'alone'"):
            catalog.get("alone", tenant="default")
        await tritons[1].start()
        await reached(pool, 3)
        async with asyncio.timeout(20):
            while (await ask_often(pool, catalog, 30))[202] < 5:
                pass
        assert catalog.get("newer", tenant="default").version == "2"
        for triton in tritons:
            triton.slow_down(0.0)


async def test_a_triton_that_falls_silent_under_load_fails_no_call_and_returns(
    tritons: list[Triton], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "_QUERY_SECONDS", 0.5)
    async with pool_of(addresses(tritons), reachable=3) as (pool, catalog):
        for triton in tritons:
            triton.slow_down(0.02)
        try:
            load = asyncio.create_task(ask_often(pool, catalog, 60, callers=6))
            await asyncio.sleep(0.1)
            signal_triton(tritons[1], signal.SIGSTOP)
            assert (await asyncio.wait_for(load, 15)).total() == 60
            await reached(pool, 2)
        finally:
            signal_triton(tritons[1], signal.SIGCONT)
            for triton in tritons:
                triton.slow_down(0.0)
        await reached(pool, 3)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::sixpoint.ImplausibleImageWarning")
def test_a_rolling_restart_under_load_fails_no_prompt(tritons: list[Triton]) -> None:
    pair = tritons[:2]
    answered, failures, done = [0], [], threading.Event()

    def person(address: str) -> None:
        try:
            with sixpoint.Client(address, retry=sixpoint.Retry.none()) as sdk:
                session = sdk.open_session(noisy_volume(), model="who")
                while not done.is_set():
                    session.annotate(SIX)
                    answered[0] += 1
        except Exception as error:
            failures.append(error)

    with running_gateway(triton_url=addresses(pair)) as gateway:
        people = [threading.Thread(target=person, args=(f"127.0.0.1:{gateway.port}",)) for _ in range(3)]
        for one in people:
            one.start()
        try:
            for triton in pair:
                before = answered[0]
                asyncio.run(triton.stop())
                asyncio.run(triton.start())
                assert answered[0] > before
            time.sleep(1.0)
        finally:
            done.set()
            for one in people:
                one.join()
    assert failures == []


@pytest.mark.filterwarnings("ignore::sixpoint.ImplausibleImageWarning")
def test_a_segmentation_runs_over_all_tritons(tritons: list[Triton]) -> None:
    pair = tritons[:2]
    for triton in pair:
        triton.slow_down(0.02)
    try:
        with (
            running_gateway(triton_url=addresses(pair)) as gateway,
            sixpoint.Client(f"127.0.0.1:{gateway.port}") as sdk,
        ):
            before = [triton.answered("patches") for triton in pair]
            patches: list[int] = []
            image = np.zeros((60, 80, 60), np.uint8)
            segmentation = sdk.segment(
                image, spacing=(1, 1, 1), model="patches", progress=lambda _, total: patches.append(total)
            )
            assert segmentation.model_version == "1"
            answered = [triton.answered("patches") - count for triton, count in zip(pair, before, strict=True)]
            assert sum(answered) == patches[-1]
            assert min(answered) > patches[-1] // 4
    finally:
        for triton in pair:
            triton.slow_down(0.0)


async def test_a_name_is_resolved_again(tritons: list[Triton], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool_module, "_RESOLVE_SECONDS", 0.05)
    present = [tritons[0]]
    failing = False

    async def resolve(name: TritonName) -> tuple[str, ...]:
        assert name == TritonName("tritons", 8001)
        if failing:
            raise TritonUnavailable("tritons cannot be resolved to Tritons")
        return tuple(triton.address for triton in present)

    async with pool_of("dns:///tritons:8001", reachable=1, resolve=resolve) as (pool, catalog):
        assert (await ask_often(pool, catalog, 4)).keys() == {201}
        tritons[0].slow_down(0.3)
        under_way = [asyncio.create_task(ask(pool, catalog)) for _ in range(3)]
        await asyncio.sleep(0.05)
        present[:] = tritons[1:]
        await reached(pool, 2)
        assert [int(result.output.flat[0]) for result in await asyncio.gather(*under_way)] == [201] * 3
        tritons[0].slow_down(0.0)
        failing = True
        await asyncio.sleep(0.2)
        assert (await ask_often(pool, catalog, 12)).keys() <= {202, 203}
        failing, present[:] = False, tritons
        await reached(pool, 3)
        assert len(await ask_often(pool, catalog, 12)) > 1


async def test_a_triton_that_left_its_name_is_let_go_of_when_the_pool_closes(
    tritons: list[Triton], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool_module, "_RESOLVE_SECONDS", 0.05)
    present = [tritons[0]]

    async def resolve(name: TritonName) -> tuple[str, ...]:
        return tuple(triton.address for triton in present)

    tritons[0].slow_down(0.5)
    try:
        async with pool_of("dns:///tritons:8001", reachable=1, resolve=resolve) as (pool, catalog):
            (leaving,) = pool.endpoints
            under_way = asyncio.create_task(ask(pool, catalog))
            await asyncio.sleep(0.1)
            present[:] = [tritons[1]]
            async with asyncio.timeout(10):
                while leaving in pool.endpoints:
                    await asyncio.sleep(0.02)
            assert leaving.outstanding == 1
    finally:
        tritons[0].slow_down(0.0)
    # The call cannot outlive the connection.
    with pytest.raises((TritonUnavailable, asyncio.CancelledError)):
        await under_way
