"""Streams of viewers that send fast, vanish, or do not read."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest

import sixpoint
from gateway.triton.local.server import LocalTriton
from sixpoint.protocol import prompt_to_message
from sixpoint.v1 import annotation_service_pb2 as annotation_pb
from sixpoint.v1 import annotation_service_pb2_grpc as annotation_grpc
from tests.gateway.process import gateway_process
from tests.gateway.prompts import SIX
from tests.support.images import noisy_volume


@pytest.fixture
def stub(address: str) -> Iterator[annotation_grpc.AnnotationServiceStub]:
    with grpc.insecure_channel(address) as channel:
        yield annotation_grpc.AnnotationServiceStub(channel)


@pytest.fixture
def session_id(address: str) -> Iterator[str]:
    with sixpoint.Client(address) as client:
        yield client.open_session(noisy_volume(), model="clicks").id


def action(number: int, session: str, *prompts: sixpoint.Prompt) -> annotation_pb.InteractRequest:
    request = annotation_pb.AnnotateRequest(session_id=session, prompts=map(prompt_to_message, prompts))
    return annotation_pb.InteractRequest(id=number, annotate=request)


def test_a_viewers_stream_answers_in_order_and_joins_what_waits(
    stub: annotation_grpc.AnnotationServiceStub, session_id: str
) -> None:
    actions = [
        action(1, session_id, SIX),
        *(action(number, session_id, sixpoint.Click((number, 17.0, 16.0))) for number in range(2, 8)),
        annotation_pb.InteractRequest(id=8, undo=annotation_pb.UndoRequest(session_id=session_id)),
        action(9, session_id, sixpoint.Click((400, 1, 1))),
        annotation_pb.InteractRequest(id=10, get_mask=annotation_pb.GetMaskRequest(session_id=session_id)),
        annotation_pb.InteractRequest(id=11),
        annotation_pb.InteractRequest(id=12, redo=annotation_pb.RedoRequest(session_id="another")),
    ]
    last: dict[int, annotation_pb.InteractResponse] = {}
    phases: dict[int, list[int]] = {}
    for event in stub.Interact(iter(actions), timeout=60):
        if event.WhichOneof("event") == "phase":
            phases.setdefault(event.id, []).append(event.phase)
        else:
            assert event.id not in last, "one last event each"
            last[event.id] = event
    assert sorted(last) == list(range(1, 13))
    assert last[1].answer.revision == 1
    assert phases[1] == sorted(phases[1])
    clicks = [last[number] for number in range(2, 8)]
    answered = [event for event in clicks if event.WhichOneof("event") == "answer"]
    assert 1 <= len(answered) < 6
    assert {event.superseded_by for event in clicks if event not in answered} <= {event.id for event in answered}
    assert last[7].WhichOneof("event") == "answer"
    assert last[8].answer.step == last[7].answer.step - 1
    for number in (9, 11, 12):
        assert last[number].WhichOneof("event") == "failure", number
    assert last[10].answer.mask.sha256 == last[8].answer.mask.sha256


def test_of_prompts_that_were_joined_only_the_wrong_one_fails(
    stub: annotation_grpc.AnnotationServiceStub, session_id: str
) -> None:
    actions = [
        action(1, session_id, SIX),
        action(2, session_id, sixpoint.Click((20, 17, 16), positive=False)),
        action(3, session_id, sixpoint.Click((400, 17, 16))),
        action(4, session_id, sixpoint.Click((21, 17, 16), positive=False)),
    ]
    events = [event for event in stub.Interact(iter(actions), timeout=60) if event.WhichOneof("event") != "phase"]
    kinds = {event.id: event.WhichOneof("event") for event in events}
    assert kinds[3] == "failure"
    assert kinds[1] == kinds[4] == "answer"
    mask = sixpoint.mask.unpack(sixpoint.protocol.converters.mask_from_message(events[-1].answer.mask), (40, 36, 32))
    assert (mask[16, 17, 20], mask[16, 17, 21]) == (0, 0)


def test_a_viewer_that_vanishes_cancels_its_action_in_triton(address: str, cancelled_mark: Path) -> None:
    cancelled_mark.unlink(missing_ok=True)
    with sixpoint.Client(address) as client:
        session = client.open_session(noisy_volume(), model="slow")
    with grpc.insecure_channel(address) as channel:
        hold = threading.Event()

        def actions() -> Iterator[annotation_pb.InteractRequest]:
            yield action(1, session.id, SIX)
            hold.wait(30)

        events = annotation_grpc.AnnotationServiceStub(channel).Interact(actions())
        for event in events:
            if event.phase == annotation_pb.PHASE_INFERENCE:
                break
        time.sleep(0.3)
        events.cancel()
        hold.set()
    end = time.monotonic() + 10
    while not cancelled_mark.exists() and time.monotonic() < end:
        time.sleep(0.05)
    assert cancelled_mark.exists()
    with sixpoint.Client(address) as client:
        assert client.resume(session.id).revision == 0


def test_a_viewer_that_does_not_read_holds_up_nobody_and_no_memory(triton: LocalTriton, tmp_path: Path) -> None:
    volume = sixpoint.Volume(
        np.random.default_rng(0).integers(0, 9, (64, 200, 200)).astype(np.int16), sixpoint.Geometry((200, 200, 64))
    )
    noise = sixpoint.InitialMask.of(np.random.default_rng(1).random(volume.array.shape) < 0.5)
    with gateway_process(triton.address, tmp_path) as process, sixpoint.Client(process.address) as client:
        slow, other = (
            client.open_session(volume, model="clicks").id,
            client.open_session(noisy_volume(), model="clicks"),
        )
        other.annotate(SIX)
        with grpc.insecure_channel(process.address) as channel:
            stub = annotation_grpc.AnnotationServiceStub(channel)
            stub.Annotate(annotation_pb.AnnotateRequest(session_id=slow, prompts=[prompt_to_message(noise)]))
            before = process.memory
            stop = threading.Event()

            def actions() -> Iterator[annotation_pb.InteractRequest]:
                number = 0
                while not stop.is_set() and number < 3000:
                    number += 1
                    yield annotation_pb.InteractRequest(
                        id=number, get_mask=annotation_pb.GetMaskRequest(session_id=slow)
                    )

            events = stub.Interact(actions())
            time.sleep(3.0)
            assert other.click((20, 17, 16), positive=False).array[16, 17, 20] == 0
            # Three thousand masks of 320 kB would be a gigabyte.
            assert process.memory - before < 200 * 2**20
            stop.set()
            events.cancel()


def test_a_viewer_whose_message_is_damaged_is_told_whatever_is_being_written(address: str) -> None:
    action = annotation_pb.InteractRequest(id=1, get_mask=annotation_pb.GetMaskRequest(session_id="none"))
    with grpc.insecure_channel(address) as channel:
        interact: Any = channel.stream_stream("/sixpoint.v1.AnnotationService/Interact")
        for _ in range(50):
            with pytest.raises(grpc.RpcError) as caught:
                list(interact(iter([action.SerializeToString(), b"\xff" * 9]), timeout=5))
            assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
