"""What viewers' streams hold together: limited in all and for one owner, and released."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest

from gateway.core.runtime.fairness import Pace
from gateway.core.sessions import AnnotationRequest, AnnotationResult
from gateway.grpc.messages.decoding import Received
from gateway.grpc.servicers import interact_stream
from gateway.grpc.servicers.action_queue import Action
from gateway.grpc.servicers.stream_memory import StreamMemory
from sixpoint import errors
from sixpoint.prompts import InitialMask, Prompt
from sixpoint.protocol import error_from_status, prompt_to_message
from sixpoint.v1 import annotation_service_pb2 as annotation_pb
from tests.gateway.core.sessions.engine.process import Process, database_with_image
from tests.gateway.grpc.streams import arrived, stream_of
from tests.gateway.prompts import SIX, TAKE
from tests.support.images import noisy_volume


@pytest.fixture
async def process(tmp_path: Path) -> AsyncIterator[Process]:
    async with database_with_image(tmp_path) as database:
        yield Process(database)


def test_one_owner_leaves_half_to_others() -> None:
    memory = StreamMemory(100_000)
    with memory.share("anna") as anna, memory.share("anna") as again, memory.share("bert") as bert:
        anna.reserve(45_000)
        with pytest.raises(errors.ResourceExhausted, match="SIXPOINT_STREAM_MEMORY_BYTES") as refused:
            again.reserve(6_000)
        assert refused.value.retry_after
        again.reserve(4_096)  # a small message is never refused
        bert.reserve(50_000)
        with pytest.raises(errors.ResourceExhausted):
            again.reserve(5_001)
        bert.release(50_000)
        again.reserve(5_000)
        assert memory.used == 50_000
    assert memory.used == 0


def mask_of(random: np.random.Generator) -> InitialMask:
    """A mask that takes more bytes than are always free."""
    return InitialMask.of(random.integers(0, 2, noisy_volume().array.shape).astype(np.uint8))


async def test_an_action_too_large_for_what_is_left_fails_and_clicks_go_on(process: Process) -> None:
    session, memory, events = await process.open(), StreamMemory(10_000), {}
    prompts: list[Prompt] = [mask_of(np.random.default_rng(1)), SIX, TAKE]

    async def requests() -> AsyncIterator[Action]:
        for number, prompt in enumerate(prompts, 1):
            request = annotation_pb.AnnotateRequest(session_id=session, prompts=[prompt_to_message(prompt)])
            yield arrived(annotation_pb.InteractRequest(id=number, annotate=request))

    async def write(event: annotation_pb.InteractResponse) -> None:
        events[event.id] = event

    with memory.share("") as share:
        viewer = stream_of(process, share)
        await viewer.run(requests(), write)
        assert memory.used == 0
    failure = error_from_status(events[1].failure)
    assert isinstance(failure, errors.ResourceExhausted)
    assert "SIXPOINT_STREAM_MEMORY_BYTES" in failure.message
    assert (events[2].superseded_by, events[3].answer.revision) == (3, 1)


async def test_an_action_counts_with_the_bytes_that_arrived(process: Process) -> None:
    session, memory, events = await process.open(), StreamMemory(10_000), []
    request = annotation_pb.GetMaskRequest(session_id=session)

    async def requests() -> AsyncIterator[Action]:
        # Protobuf would write the whole message again to find out how long it is.
        yield Received(annotation_pb.InteractRequest(id=1, get_mask=request), 20_000)

    async def write(event: annotation_pb.InteractResponse) -> None:
        events.append(event)

    with memory.share("") as share:
        viewer = stream_of(process, share)
        await viewer.run(requests(), write)
    assert isinstance(error_from_status(events[-1].failure), errors.ResourceExhausted)


async def test_the_next_action_is_read_once_its_owner_is_no_longer_held_up(process: Process) -> None:
    session, memory, pace = await process.open(), StreamMemory(2**24), Pace(10_000, burst=1_000)
    request = annotation_pb.GetMaskRequest(session_id=session)
    read: list[float] = []

    async def requests() -> AsyncIterator[Action]:
        for number in (1, 2, 3):
            read.append(asyncio.get_running_loop().time())
            yield Received(annotation_pb.InteractRequest(id=number, get_mask=request), 5_000)

    async def write(_: annotation_pb.InteractResponse) -> None: ...

    with memory.share("") as share:
        await stream_of(process, share, pace=pace).run(requests(), write)
    # 5,000 bytes, of which 1,000 are free once, at 10,000 a second.
    assert read[1] - read[0] >= 0.4
    assert read[2] - read[0] >= 0.9


async def test_while_answers_are_not_read_no_more_are_made(process: Process, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(interact_stream, "_MAX_UNREAD_BYTES", 100)
    session, memory, answered = await process.open(), StreamMemory(2**24), []
    await process.annotate(session, SIX)
    made, read = 0, asyncio.Event()
    mask = process.engine.mask

    async def counted(request: AnnotationRequest) -> AnnotationResult:
        nonlocal made
        made += 1
        return await mask(request)

    monkeypatch.setattr(process.engine, "mask", counted)

    async def requests() -> AsyncIterator[Action]:
        for number in range(1, 11):
            request = annotation_pb.GetMaskRequest(session_id=session)
            yield arrived(annotation_pb.InteractRequest(id=number, get_mask=request))

    async def write(event: annotation_pb.InteractResponse) -> None:
        await read.wait()
        answered.append(event.id)

    with memory.share("") as share:
        viewer = stream_of(process, share)
        running = asyncio.create_task(viewer.run(requests(), write))
        while not made:
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.2)
        assert made == 1
        read.set()
        await running
    assert answered == [*range(1, 11)]
    assert memory.used == 0


async def test_a_stream_that_waits_holds_no_message(process: Process) -> None:
    session, memory, sent, answered = await process.open(), StreamMemory(2**24), [], asyncio.Event()
    prompt = prompt_to_message(mask_of(np.random.default_rng(1)))
    waits = asyncio.Event()

    def action() -> annotation_pb.InteractRequest:
        request = annotation_pb.AnnotateRequest(session_id=session, prompts=[prompt])
        sent.append(annotation_pb.InteractRequest(id=1, annotate=request))
        return sent[0]

    async def requests() -> AsyncIterator[Action]:
        yield arrived(action())
        await waits.wait()

    async def write(event: annotation_pb.InteractResponse) -> None:
        if event.HasField("answer"):
            answered.set()

    with memory.share("") as share:
        viewer = stream_of(process, share)
        running = asyncio.create_task(viewer.run(requests(), write))
        async with asyncio.timeout(10):
            await answered.wait()
        await asyncio.sleep(0)
        assert memory.used == 0
        # Held by the list, and as the argument.
        references = sys.getrefcount(sent[0])
        assert references == 2
        waits.set()
        await running


async def test_a_stream_that_is_cut_off_releases_what_it_holds(process: Process) -> None:
    session, memory = await process.open(), StreamMemory(2**24)
    random = np.random.default_rng(1)
    prompt = prompt_to_message(mask_of(random))

    async def requests() -> AsyncIterator[Action]:
        for number in range(1, 6):
            request = annotation_pb.AnnotateRequest(session_id=session, prompts=[prompt], segment=number)
            yield arrived(annotation_pb.InteractRequest(id=number, annotate=request))
        await asyncio.Event().wait()

    async def write(_: annotation_pb.InteractResponse) -> None:
        await asyncio.Event().wait()

    async def run() -> None:
        with memory.share("") as share:
            viewer = stream_of(process, share)
            await viewer.run(requests(), write)

    running = asyncio.create_task(run())
    while not memory.used:
        await asyncio.sleep(0.01)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert memory.used == 0
