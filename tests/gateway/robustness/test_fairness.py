"""A greedy caller, who keeps many calls in flight and never pauses, leaves a polite one its share."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
import grpc.aio
import pytest

import sixpoint
from gateway.triton.local.server import LocalTriton
from sixpoint import errors
from sixpoint.protocol import geometry_to_message, owner_to_metadata, prompt_to_message
from sixpoint.v1 import annotation_service_pb2 as annotation_pb
from sixpoint.v1 import annotation_service_pb2_grpc as annotation_grpc
from sixpoint.v1 import image_service_pb2 as image_pb
from sixpoint.v1 import image_service_pb2_grpc as image_grpc
from sixpoint.v1 import session_service_pb2 as session_pb
from sixpoint.v1 import session_service_pb2_grpc as session_grpc
from sixpoint.v1 import volume_pb2 as volume_pb
from tests.gateway.prompts import SIX
from tests.support.images import noisy_volume
from tests.support.servers import running_gateway

_NO_RETRY = sixpoint.Retry.none()


@pytest.fixture(scope="module")
def narrow(triton: LocalTriton) -> Iterator[str]:
    """The address of a gateway with few places."""
    with running_gateway(
        triton_url=triton.address, max_prompts=16, max_sessions=24, max_streams=8, max_uploads=8
    ) as own:
        yield f"127.0.0.1:{own.port}"


@asynccontextmanager
async def greedy(call: Callable[[int], Awaitable[object]], *, calls: int) -> AsyncIterator[Counter[str]]:
    """Keep calls in flight; count how they end."""
    codes = Counter[str]()

    async def repeat(number: int) -> None:
        while True:
            try:
                await call(number)
                codes["OK"] += 1
            except grpc.aio.AioRpcError as error:
                codes[error.code().name] += 1

    tasks = [asyncio.create_task(repeat(number)) for number in range(calls)]
    try:
        yield codes
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@pytest.mark.slow
@pytest.mark.parametrize("owners", [1, 5])
async def test_a_polite_caller_gets_its_share_of_the_network(narrow: str, owners: int) -> None:
    volume, prompts = noisy_volume(), 4 if owners == 1 else 2
    async with (
        sixpoint.AsyncClient(narrow, owner="polite", retry=_NO_RETRY) as client,
        grpc.aio.insecure_channel(narrow) as channel,
        await client.open_session(volume, model="annotation") as session,
    ):
        await session.annotate(SIX)
        opening: Any = session_grpc.SessionServiceStub(channel)
        stub: Any = annotation_grpc.AnnotationServiceStub(channel)
        names = [owner_to_metadata(f"greedy {number}") for number in range(owners)]
        request = session_pb.CreateSessionRequest(image_digest=volume.digest, model="annotation")
        opened = [(await opening.CreateSession(request, metadata=name)).session.id for name in names for _ in range(2)]

        async def annotate(number: int) -> None:
            place = number % len(opened)
            prompt = annotation_pb.AnnotateRequest(session_id=opened[place], prompts=[prompt_to_message(SIX)])
            await stub.Annotate(prompt, metadata=names[place // 2])

        async with greedy(annotate, calls=60) as codes:
            while not codes["OK"]:
                await asyncio.sleep(0.01)
            before = codes["OK"]
            for _ in range(prompts):
                await session.annotate(SIX)
            beside = codes["OK"] - before
    assert codes["RESOURCE_EXHAUSTED"], "they want more places than there are"
    assert beside <= owners * prompts * 1.5 + 2, "the greedy ones get little more than their share, whatever they send"
    assert beside >= owners, "and not less than a turn each"


def test_a_greedy_owner_leaves_sessions_to_others(narrow: str) -> None:
    with (
        sixpoint.Client(narrow, owner="hoarder", retry=_NO_RETRY) as hoarder,
        sixpoint.Client(narrow, owner="newcomer", retry=_NO_RETRY) as newcomer,
    ):
        opened: list[sixpoint.Session] = []

        def hoard() -> None:
            while len(opened) < 24:
                opened.append(hoarder.open_session(noisy_volume(), model="clicks"))

        with pytest.raises(errors.ResourceExhausted, match=r"sessions are open, .*SIXPOINT_(MAX|OWNER)_SESSIONS"):
            hoard()
        newcomer.open_session(noisy_volume(), model="clicks").close()
        for session in opened:
            session.close()


async def test_a_greedy_owner_leaves_streams_to_others(narrow: str) -> None:
    async with (
        sixpoint.AsyncClient(narrow, owner="newcomer") as client,
        grpc.aio.insecure_channel(narrow) as channel,
        await client.open_session(noisy_volume(), model="clicks") as session,
    ):
        stub: Any = annotation_grpc.AnnotationServiceStub(channel)

        async def actions() -> AsyncIterator[annotation_pb.InteractRequest]:
            action = annotation_pb.GetMaskRequest(session_id=session.id)
            yield annotation_pb.InteractRequest(id=1, get_mask=action)
            await asyncio.Event().wait()

        codes = Counter[str]()
        streams = [stub.Interact(actions(), metadata=owner_to_metadata("hoarder")) for _ in range(8)]
        for stream in streams:
            try:
                event = await stream.read()
                codes["OK" if event is not grpc.aio.EOF else (await stream.code()).name] += 1
            except grpc.aio.AioRpcError as error:
                codes[error.code().name] += 1
        assert codes == {"OK": 6, "RESOURCE_EXHAUSTED": 2}
        newcomer = stub.Interact(actions(), metadata=owner_to_metadata("newcomer"))
        assert (await newcomer.read()).id == 1
        for stream in [*streams, newcomer]:
            stream.cancel()


async def test_greedy_owners_leave_uploads_to_others(narrow: str) -> None:
    volume = noisy_volume()
    header = image_pb.UploadImageRequest(
        header=image_pb.Image(
            digest=volume.digest,
            geometry=geometry_to_message(volume.geometry),
            voxel_type=volume_pb.VOXEL_TYPE_INT16,
            byte_count=volume.array.nbytes,
        )
    )
    async with grpc.aio.insecure_channel(narrow) as channel:
        stub: Any = image_grpc.ImageServiceStub(channel)
        uploads = [stub.UploadImage(metadata=owner_to_metadata(f"hoarder {number // 6}")) for number in range(12)]
        for upload in uploads:
            await upload.write(header)
        while sum(upload.done() for upload in uploads) < 4:
            await asyncio.sleep(0.05)
        async with sixpoint.AsyncClient(narrow, owner="newcomer", retry=_NO_RETRY) as client:
            assert await client.upload(volume) == volume.digest
        for upload in uploads:
            upload.cancel()
