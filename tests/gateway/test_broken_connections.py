"""Uploads of the SDK over a connection that is cut in the middle."""

from __future__ import annotations

import contextlib
import inspect
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import sixpoint
from gateway.triton.local import LocalTriton
from sixpoint.geometry import Geometry
from tests.gateway.process import gateway_process

MIB = 2**20


class Cutter:
    """A proxy that cuts its first connections after so many bytes from the client.

    Args:
        target: host:port behind it.
        cuts: After how many bytes; one number for each connection that is cut.
    """

    def __init__(self, target: str, *, cuts: list[int]) -> None:
        host, _, port = target.rpartition(":")
        self._target = (host, int(port))
        self._cuts = cuts
        self.passed: list[int] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                far = socket.create_connection(self._target)
                number = len(self.passed)
                self.passed.append(0)
                for way in ((near, far, number), (far, near, None)):
                    threading.Thread(target=self._pass, args=way, daemon=True).start()

    def _pass(self, source: socket.socket, sink: socket.socket, number: int | None) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(2**16):
                sink.sendall(data)
                if number is not None:
                    self.passed[number] += len(data)
                    if number < len(self._cuts) and self.passed[number] >= self._cuts[number]:
                        break
        for end in (source, sink):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)


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
async def test_an_upload_survives_a_connection_that_breaks_twice(cutter: Cutter, address: str, kind: Any):
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
