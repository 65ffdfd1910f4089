"""Tensors in shared memory, with the real Triton."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest
from tritonclient.grpc import service_pb2

from gateway.core.runtime import Model
from gateway.triton import shared_memory
from gateway.triton.client import TritonClient
from gateway.triton.local.server import LocalTriton
from gateway.triton.shared_memory import Region
from sixpoint.errors import DeadlineExceeded, InferenceError
from tests.support.models import ELLIPSOID_SPEC, ellipsoid_answer, write_ellipsoid_model
from tests.support.paths import ROOT
from tests.support.servers import running_triton

MODEL = Model("ellipsoid", "1", ELLIPSOID_SPEC)
SLOW = Model("slow", "1", ELLIPSOID_SPEC)


def tensor(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random(ELLIPSOID_SPEC.input_shape).astype(np.float16)


def files() -> list[Path]:
    return list(Path("/dev/shm").glob(f"sixpoint.*.{os.getpid()}.*"))


async def registered(client: TritonClient) -> set[str]:
    """The gateways' regions that Triton knows."""
    status = await client._stub.SystemSharedMemoryStatus(
        service_pb2.SystemSharedMemoryStatusRequest(), metadata=client._metadata()
    )
    return {name for name in status.regions if name.startswith("sixpoint.")}


@contextlib.asynccontextmanager
async def connected(triton: LocalTriton, *, shared_memory: bool = True) -> AsyncIterator[tuple[TritonClient, set[str]]]:
    """A client, and the regions that were there before it."""
    async with TritonClient(triton.address, shared_memory=shared_memory) as client:
        yield client, await registered(client)


async def assert_right(client: TritonClient, seed: int = 0) -> None:
    inferred = await client.infer(MODEL, tensor(seed), timeout=10)
    assert np.array_equal(inferred.output, ellipsoid_answer(tensor(seed)))


async def test_tensors_pass_in_one_region_call_after_call(triton: LocalTriton) -> None:
    async with connected(triton) as (client, before):
        for seed in range(3):
            await assert_right(client, seed)
        assert len(await registered(client) - before) == 1
        assert not files()
    async with connected(triton, shared_memory=False) as (client, after):
        assert after == before


async def test_it_can_be_switched_off(triton: LocalTriton) -> None:
    async with connected(triton, shared_memory=False) as (client, before):
        await assert_right(client)
        assert await registered(client) == before


async def test_calls_at_the_same_time_have_a_region_each(triton: LocalTriton) -> None:
    async with connected(triton) as (client, before):
        await asyncio.gather(*(assert_right(client, seed) for seed in range(20)))
        # Those beyond the limit went as bytes.
        assert 1 < len(await registered(client) - before) <= 16


async def test_where_there_is_no_shared_memory_tensors_travel_as_bytes(
    triton: LocalTriton, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "gateway.triton.shared_memory")
    # Triton looks elsewhere, as one on another machine does.
    monkeypatch.setattr(shared_memory, "_FOLDER", tmp_path)
    async with connected(triton) as (client, before):
        await assert_right(client)
        await assert_right(client, 1)
        assert await registered(client) == before
    assert not list(tmp_path.iterdir())
    assert len([record for record in caplog.records if record.name == "gateway.triton.shared_memory"]) == 1


async def test_a_want_of_memory_is_no_error(triton: LocalTriton, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    async with connected(triton) as (client, _):
        await assert_right(client)
    assert not files()


@pytest.mark.parametrize("how", ["cancelled", "out of time"])
async def test_the_region_of_a_call_that_was_given_up_is_not_used_again(triton: LocalTriton, how: str) -> None:
    async with connected(triton) as (client, before):
        call = asyncio.create_task(client.infer(SLOW, tensor(), timeout=30 if how == "cancelled" else 0.5))
        await asyncio.sleep(0.5)
        given_up = await registered(client) - before
        assert len(given_up) == 1
        if how == "cancelled":
            call.cancel()
        with pytest.raises(asyncio.CancelledError if how == "cancelled" else DeadlineExceeded):
            await call
        await assert_right(client)
        await assert_right(client, 1)
        # Triton may write to it still: it is not taken away from under it.
        both = await registered(client) - before
        assert given_up < both
        assert len(both) == 2


async def test_a_region_is_unregistered_after_its_quarantine(
    triton: LocalTriton, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared_memory, "_QUARANTINE_SECONDS", 0.2)
    async with connected(triton) as (client, before):
        with pytest.raises(DeadlineExceeded):
            await client.infer(SLOW, tensor(), timeout=0.1)
        (given_up,) = await registered(client) - before
        # The model notices within 20 ms that nobody waits any more.
        await asyncio.sleep(0.3)
        await assert_right(client)
        assert given_up not in await registered(client)


@pytest.mark.parametrize("how", ["cancelled", "out of time"])
async def test_a_region_whose_removal_was_broken_off_is_removed_later(
    triton: LocalTriton, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A larger tensor wants its place, and its call, or its time, ends before Triton has let go of it."""
    monkeypatch.setattr(shared_memory, "_MAX_REGIONS", 1)
    async with connected(triton) as (client, before):
        await assert_right(client)
        own = client._regions
        with monkeypatch.context() as broken:
            if how == "cancelled":
                broken.setattr(own, "_unregister", lambda _: asyncio.Event().wait())
                taking = asyncio.create_task(own.acquire(2**24))
                await asyncio.sleep(0.05)
                taking.cancel()
                assert isinstance((await asyncio.gather(taking, return_exceptions=True))[0], asyncio.CancelledError)
            else:
                broken.setattr(shared_memory, "_CALL_SECONDS", -1.0)
                assert await own.acquire(2**24) is None
        # Triton may know it still: it counts, and the next call sends bytes.
        await assert_right(client)
        assert len(await registered(client) - before) <= 1
        monkeypatch.setattr(
            own, "_quarantined", type(own._quarantined)((0.0, region) for _, region in own._quarantined)
        )
        assert await own.acquire(2**24) is not None
        assert len(await registered(client) - before) == 1, "another one, in the other's place"


async def test_a_refused_call_says_why_and_the_next_one_goes(triton: LocalTriton) -> None:
    async with connected(triton) as (client, _):
        with pytest.raises(InferenceError, match="INVALID_ARGUMENT"):
            await client.infer(MODEL, tensor()[:, :32], timeout=10)
        await assert_right(client)


@pytest.mark.triton
def test_a_triton_that_was_restarted_gets_new_regions(tmp_path: Path) -> None:
    repository = tmp_path / "repository"
    write_ellipsoid_model(repository / "ellipsoid")

    async def restart(triton: LocalTriton) -> None:
        async with TritonClient(triton.address) as client:
            await assert_right(client)
            (first,) = await registered(client)
            await triton.stop()
            await triton.start()
            await client._stub._channel.channel_ready()
            # Nobody told the client: its region is unknown now.
            await assert_right(client, 1)
            await assert_right(client, 2)
            (second,) = await registered(client)
            assert second != first

    with running_triton(repository) as triton:
        asyncio.run(restart(triton))


async def test_regions_of_a_killed_gateway_are_removed_by_the_next_one(triton: LocalTriton) -> None:
    code = f"""
import asyncio, os, signal
import numpy as np
from gateway.core.runtime import Model
from gateway.triton.client import TritonClient
from tests.support.models import ELLIPSOID_SPEC as SPEC

async def main():
    client = TritonClient({triton.address!r})
    await client.infer(Model("ellipsoid", "1", SPEC), np.zeros(SPEC.input_shape, np.float16), timeout=10)
    os.kill(os.getpid(), signal.SIGKILL)

asyncio.run(main())
"""
    killed = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT)
    assert killed.wait(30) == -signal.SIGKILL
    assert not list(Path("/dev/shm").glob(f"sixpoint.*.{killed.pid}.*"))
    stale = Region(f"sixpoint.{shared_memory._namespace()}.{killed.pid}.0", 100)
    async with connected(triton) as (client, before):
        assert any(f".{killed.pid}." in name for name in before)
        await assert_right(client)
        assert not any(f".{killed.pid}." in name for name in await registered(client))
    assert not (Path("/dev/shm") / stale.name).exists()
