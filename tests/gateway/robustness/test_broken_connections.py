"""Uploads of the SDK over a connection that is cut in the middle."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import sixpoint
from gateway.triton.local.server import LocalTriton
from sixpoint.geometry import Geometry
from tests.gateway.process import gateway_process
from tests.support.proxies import Cutter

MIB = 2**20


@pytest.fixture
def address(triton: LocalTriton, tmp_path: Path) -> Iterator[str]:
    """Of a gateway in a process of its own: two event loops of grpc.aio in one process may lose a wake-up."""
    with gateway_process(triton.address, tmp_path) as process:
        yield process.address


@pytest.fixture
def cutter(address: str) -> Iterator[Cutter]:
    made = Cutter(address, cuts=[5 * MIB, 5 * MIB])
    yield made
    made.close()


@pytest.mark.parametrize("kind", [sixpoint.Client, sixpoint.AsyncClient], ids=["blocking", "asyncio"])
async def test_an_upload_survives_a_connection_that_breaks_twice(cutter: Cutter, address: str, kind: Any) -> None:
    seed = 1 if kind is sixpoint.Client else 2
    voxels = np.random.default_rng(seed).integers(-1000, 1000, (64, 256, 512), np.int16)
    volume = sixpoint.Volume(voxels, Geometry((512, 256, 64)))
    told: list[int] = []
    client = kind(cutter.address, retry=sixpoint.Retry(attempts=8, first=0.05, most=0.2))
    result = client.upload(volume, progress=lambda done, _: told.append(done))
    assert (await result if inspect.isawaitable(result) else result) == volume.digest
    closed = client.close()
    if inspect.isawaitable(closed):
        await closed
    assert len(cutter.passed) >= 3, "it was cut twice"
    assert told[-1] == voxels.nbytes
    assert sum(cutter.passed) < 2 * voxels.nbytes, "what had arrived was not sent again"
    with sixpoint.Client(address) as direct:
        direct.open_session(volume, model="ellipsoid", progress=lambda *_: pytest.fail("it is there")).close()
