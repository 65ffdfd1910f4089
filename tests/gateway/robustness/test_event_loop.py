"""No call keeps the event loop from the others, whatever its message holds."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import chain
from typing import Any

import grpc
import numpy as np
import pytest
import zstandard

from gateway.triton.local.server import LocalTriton
from sixpoint.client._operations.upload import upload_messages
from sixpoint.geometry import Geometry
from sixpoint.protocol import owner_to_metadata
from sixpoint.v1 import annotation_service_pb2 as annotation_pb
from sixpoint.v1 import annotation_service_pb2_grpc as annotation_grpc
from sixpoint.v1 import image_service_pb2 as image_pb
from sixpoint.v1 import image_service_pb2_grpc as image_grpc
from sixpoint.v1 import session_service_pb2 as session_pb
from sixpoint.v1 import session_service_pb2_grpc as session_grpc
from sixpoint.v1 import volume_pb2 as volume_pb
from sixpoint.volume import Volume
from tests.support.event_loop import StallWatch
from tests.support.servers import running_gateway

pytestmark = [pytest.mark.triton, pytest.mark.slow]

LIMIT_S = 0.05
SIZE = (512, 512, 256)
"""Of an image whose masks take 64 MiB, and a few hundred bytes on the wire."""
MIB = 2**20
SESSIONS = 150


@dataclass
class Caller:
    """A session of a gateway whose loop is watched."""

    watch: StallWatch
    channel: grpc.Channel
    sessions: session_grpc.SessionServiceStub
    annotation: annotation_grpc.AnnotationServiceStub
    images: image_grpc.ImageServiceStub
    digest: str

    def open(self) -> str:
        """Open a session; its id."""
        request = session_pb.CreateSessionRequest(image_digest=self.digest, model="annotation")
        return self.sessions.CreateSession(request, timeout=60).session.id


@pytest.fixture(scope="module")
def caller(triton: LocalTriton) -> Iterator[Caller]:
    watch = StallWatch()
    with (
        running_gateway(triton_url=triton.address, watch=watch) as gateway,
        grpc.insecure_channel(f"127.0.0.1:{gateway.port}", [("grpc.max_receive_message_length", -1)]) as channel,
    ):
        image = Volume(np.zeros(SIZE[::-1], np.int8), Geometry(SIZE))
        images = image_grpc.ImageServiceStub(channel)
        images.UploadImage(upload_messages(image, image.digest, progress=None), timeout=120)
        yield Caller(
            watch,
            channel,
            session_grpc.SessionServiceStub(channel),
            annotation_grpc.AnnotationServiceStub(channel),
            images,
            image.digest,
        )


def whole_image() -> annotation_pb.Prompt:
    """A mask of all voxels: 8 MiB of bits, a few hundred bytes on the wire."""
    count = SIZE[0] * SIZE[1] * SIZE[2]
    bits = b"\xff" * (count // 8)
    return annotation_pb.Prompt(
        mask=annotation_pb.MaskPatch(
            box=volume_pb.Box(lower=(0, 0, 0), upper=SIZE),
            bits=zstandard.ZstdCompressor(level=3).compress(bits),
            sha256=hashlib.sha256(bits).digest(),
            voxel_count=count,
        )
    )


def click(x: float, *, positive: bool = False) -> annotation_pb.Prompt:
    sign = annotation_pb.CLICK_SIGN_POSITIVE if positive else annotation_pb.CLICK_SIGN_NEGATIVE
    point = volume_pb.Point(x=x, y=100, z=100)
    return annotation_pb.Prompt(click=annotation_pb.Click(frame=volume_pb.FRAME_VOXEL, point=point, sign=sign))


def test_calls_on_a_mask_of_the_whole_image(caller: Caller) -> None:
    session_id = caller.open()
    stub = caller.annotation
    start = annotation_pb.AnnotateRequest(session_id=session_id, prompts=[whole_image()])
    correct = annotation_pb.AnnotateRequest(session_id=session_id, prompts=[click(50)])
    target: Any = {"session_id": session_id}
    calls: dict[str, Callable[[], object]] = {
        "mask": lambda: stub.Annotate(start, timeout=120),
        "click": lambda: stub.Annotate(correct, timeout=120),
        "GetMask": lambda: stub.GetMask(annotation_pb.GetMaskRequest(**target), timeout=120),
        "Undo and Redo": lambda: (
            stub.Undo(annotation_pb.UndoRequest(**target), timeout=120),
            stub.Redo(annotation_pb.RedoRequest(**target), timeout=120),
        ),
        "ListSteps": lambda: caller.sessions.ListSteps(session_pb.ListStepsRequest(**target), timeout=120),
        "ForkSession": lambda: caller.sessions.ForkSession(session_pb.ForkSessionRequest(**target), timeout=120),
        "Interact": lambda: list(
            stub.Interact(iter([annotation_pb.InteractRequest(id=1, annotate=start)]), timeout=120)
        ),
    }
    stalls = {name: caller.watch.largest_stall(call, limit=LIMIT_S) for name, call in calls.items()}
    assert {name: stall for name, stall in stalls.items() if stall >= LIMIT_S} == {}


def test_a_thousand_clicks(caller: Caller) -> None:
    request = annotation_pb.AnnotateRequest(
        session_id=caller.open(), prompts=[whole_image(), *(click(x % 500) for x in range(1000))]
    )
    stall = caller.watch.largest_stall(lambda: caller.annotation.Annotate(request, timeout=120), limit=LIMIT_S)
    assert stall < LIMIT_S


def test_a_segmentation_of_a_large_image(caller: Caller) -> None:
    # So fine that the network's grid is small: its answer, resampled to 67 million voxels, is all of the work.
    image = Volume(np.zeros(SIZE[::-1], np.int8), Geometry(SIZE, (0.1, 0.1, 0.1)))
    caller.images.UploadImage(upload_messages(image, image.digest, progress=None), timeout=120)
    request = annotation_pb.SegmentRequest(image_digest=image.digest, model="segmentation_hippocampus")

    def segment() -> None:
        events = list(caller.annotation.Segment(request, timeout=120))
        assert events[-1].WhichOneof("event") == "summary"

    assert caller.watch.largest_stall(segment, limit=LIMIT_S) < LIMIT_S


def test_a_segmentation_of_many_patches(caller: Caller) -> None:
    request = annotation_pb.SegmentRequest(image_digest=caller.digest, model="segmentation_hippocampus")

    def segment() -> None:
        events = caller.annotation.Segment(request, timeout=120)
        for event in events:
            if event.progress.patches_done == 2:
                break
        events.cancel()

    assert caller.watch.largest_stall(segment, limit=LIMIT_S) < LIMIT_S


@pytest.mark.parametrize("part", [2**12, MIB, 8 * MIB - 1024])
def test_an_upload(caller: Caller, part: int) -> None:
    rng = np.random.default_rng(part)

    def upload() -> None:
        # New voxels each time: an upload of a stored image is not written.
        voxels = rng.integers(0, 100, 16 * MIB, np.int8)
        size = (512, 512, 64)
        image = Volume(voxels.reshape(size[::-1]), Geometry(size))
        header, *_ = upload_messages(image, image.digest, progress=None)
        chunks = (voxels[start : start + part].tobytes() for start in range(0, len(voxels), part))
        messages = (image_pb.UploadImageRequest(chunk=chunk) for chunk in chunks)
        caller.images.UploadImage(chain([header], messages), timeout=120)

    assert caller.watch.largest_stall(upload, limit=LIMIT_S) < LIMIT_S


def test_a_list_of_sessions_with_many_segments(caller: Caller) -> None:
    owner = owner_to_metadata("lists")
    opened = session_pb.CreateSessionRequest(image_digest=caller.digest, model="annotation")
    segments = [session_pb.Segment(number=number, name="n" * 200) for number in range(1, 256)]
    for _ in range(SESSIONS):
        session_id = caller.sessions.CreateSession(opened, metadata=owner, timeout=60).session.id
        named = session_pb.UpdateSessionRequest(session_id=session_id, segments=segments)
        caller.sessions.UpdateSession(named, metadata=owner, timeout=60)
    requests = {
        "all": session_pb.ListSessionsRequest(page_size=1000),
        "of a model": session_pb.ListSessionsRequest(page_size=1000, model="annotation"),
        "of a version": session_pb.ListSessionsRequest(page_size=1000, model="annotation", model_version="1"),
    }
    stalls = {
        name: caller.watch.largest_stall(
            partial(caller.sessions.ListSessions, request, metadata=owner, timeout=120), limit=LIMIT_S
        )
        for name, request in requests.items()
    }
    assert {name: stall for name, stall in stalls.items() if stall >= LIMIT_S} == {}


@pytest.mark.no_cover  # Tracing makes the count of fields several times as slow.
def test_messages_that_are_more_work_than_they_look(caller: Caller) -> None:
    prompts = annotation_pb.AnnotateRequest.DESCRIPTOR.fields_by_name["prompts"].number << 3 | 2
    bombs = {
        "/sixpoint.v1.AnnotationService/Annotate": bytes([prompts, 0]) * (2**22 - 9),
        "/sixpoint.v1.SessionService/UpdateSession": session_pb.UpdateSessionRequest(
            segments=[session_pb.Segment()] * 60_000
        ).SerializeToString(),
        "/sixpoint.v1.AnnotationService/Interact": b"\xff" * 2**22,
    }

    channel: Any = caller.channel

    def send(method: str, data: bytes) -> None:
        with pytest.raises(grpc.RpcError) as caught:
            list(channel.stream_stream(method)(iter([data]), timeout=60))
        assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT

    stalls = {
        method: caller.watch.largest_stall(partial(send, method, data), limit=LIMIT_S) for method, data in bombs.items()
    }
    assert {method: stall for method, stall in stalls.items() if stall >= LIMIT_S} == {}
