"""Uploads that stand still, and uploads that wait for memory."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from typing import Any

import grpc
import pytest

from gateway import from_settings
from gateway.core.runtime import Admission
from gateway.core.runtime.fairness import acting_for
from gateway.settings import Settings
from sixpoint import errors
from sixpoint.protocol import error_from_rpc
from sixpoint.v1 import image_service_pb2 as image_pb
from sixpoint.v1 import image_service_pb2_grpc as image_grpc
from sixpoint.volume import Volume
from tests.gateway.grpc.test_images import CHUNK, NOWHERE, received, upload
from tests.support.images import noisy_volume
from tests.support.servers import running_gateway

FIRST, SECOND, THIRD = (noisy_volume((80, 80, 60 + n)) for n in range(3))
MIB = 2**20


@contextmanager
def images(**settings: Any) -> Iterator[image_grpc.ImageServiceStub]:
    with (
        running_gateway(ready=False, triton_url=NOWHERE, **settings) as gateway,
        grpc.insecure_channel(f"127.0.0.1:{gateway.port}") as channel,
    ):
        yield image_grpc.ImageServiceStub(channel)


def stuck(
    volume: Volume, go_on: threading.Event, *, chunks: int = 1, sent: threading.Event | None = None
) -> Iterator[image_pb.UploadImageRequest]:
    """The header and some chunks; then nothing."""
    yield from upload(volume, until=chunks * CHUNK)
    if sent:
        # gRPC asks for the next message once it has sent this one.
        sent.set()
    go_on.wait(30)


def error_of(call: Any) -> errors.SixpointError:
    failure = call.exception(timeout=30)
    assert isinstance(failure, grpc.RpcError)
    return error_from_rpc(failure)


@pytest.mark.parametrize("chunks", [0, 1])
def test_an_upload_that_stands_still_ends_and_can_be_continued(chunks: int) -> None:
    go_on = threading.Event()
    with images(upload_idle_seconds=0.5) as stub:
        error = error_of(stub.UploadImage.future(stuck(FIRST, go_on, chunks=chunks), timeout=3600))
        assert isinstance(error, errors.DeadlineExceeded)
        assert "nothing arrived for 0.5 s, the limit (SIXPOINT_UPLOAD_IDLE_SECONDS)" in error.message
        assert received(stub, FIRST) == chunks * CHUNK
        stub.UploadImage(upload(FIRST, offset=chunks * CHUNK))
        assert received(stub, FIRST) == FIRST.array.nbytes
        go_on.set()


def test_uploads_beyond_the_memory_wait_and_one_that_stands_still_gives_way() -> None:
    go_on, sent = threading.Event(), threading.Event()
    # One upload at once.
    with images(upload_idle_seconds=4.0, upload_memory_bytes=12 * MIB) as stub:
        idle = stub.UploadImage.future(stuck(FIRST, go_on, sent=sent))
        sent.wait(30)
        waiting = [stub.UploadImage.future(upload(volume)) for volume in (SECOND, THIRD)]
        assert [call.result(30).image.digest for call in waiting] == [SECOND.digest, THIRD.digest]
        error = error_of(idle)
        assert isinstance(error, errors.Unavailable)
        assert "others wait; send the rest" in error.message
        assert error.retry_after
        assert received(stub, FIRST) == CHUNK
        go_on.set()


def test_an_upload_that_stands_still_also_gives_way_when_all_places_are_taken() -> None:
    go_on, sent = threading.Event(), threading.Event()
    with images(upload_idle_seconds=4.0, max_uploads=1) as stub:
        idle = stub.UploadImage.future(stuck(FIRST, go_on, sent=sent))
        sent.wait(30)
        newcomer = stub.UploadImage.future(upload(SECOND))
        assert isinstance(error_of(newcomer), errors.ResourceExhausted)
        assert isinstance(error_of(idle), errors.Unavailable)
        stub.UploadImage(upload(SECOND))
        go_on.set()


def test_uploads_are_read_at_a_pace_while_prompts_are_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(from_settings, "_TRANSFER_RATE", 4 * MIB)
    monkeypatch.setattr(Admission, "active", property(lambda _: 1))
    volume = noisy_volume((256, 256, 160))
    with images(workers=1) as stub:
        started = time.monotonic()
        stub.UploadImage(upload(volume))
        # Of its 20 MiB, 16 may come at once.
        assert time.monotonic() - started > 0.9
        assert received(stub, volume) == volume.array.nbytes


async def test_an_eighth_of_the_memory_is_left_for_owners_of_whom_no_upload_runs() -> None:
    memory = from_settings.upload_memory(Settings(upload_memory_bytes=8 * MIB))
    async with AsyncExitStack() as running:
        with acting_for("greedy"):
            for _ in range(7):
                await running.enter_async_context(memory.memory(MIB))
            waiting = asyncio.create_task(running.enter_async_context(memory.memory(MIB)))
        with acting_for("polite"):
            await running.enter_async_context(memory.memory(MIB))
        assert not waiting.done()
        waiting.cancel()
