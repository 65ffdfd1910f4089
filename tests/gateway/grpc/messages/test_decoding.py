"""Bytes that are no message, and messages that are more work than any caller needs."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import grpc
import grpc.aio
import pytest

from gateway.core.access import OpenAccess, Role
from gateway.grpc.interceptors import CallInterceptor
from gateway.grpc.messages.decoding import decoder
from gateway.grpc.running_calls import RunningCalls
from sixpoint.errors import InvalidArgument
from sixpoint.v1 import annotation_service_pb2 as annotation_pb
from sixpoint.v1 import image_service_pb2 as image_pb
from sixpoint.v1 import volume_pb2 as volume_pb
from tests.gateway.grpc.servers import DEADLINES

PROMPTS = annotation_pb.AnnotateRequest.DESCRIPTOR.fields_by_name["prompts"].number << 3
UNKNOWN = 15 << 3
MASK = annotation_pb.AnnotateRequest(
    prompts=[annotation_pb.Prompt(mask=annotation_pb.MaskPatch(bits=bytes(2**20)))]
).SerializeToString()
MANY_POINTS = annotation_pb.Prompt(
    extreme_points=annotation_pb.ExtremePoints(frame=volume_pb.FRAME_VOXEL, points=[volume_pb.Point()] * 100_000)
)

decode = decoder(annotation_pb.AnnotateRequest.FromString)


@pytest.mark.parametrize(
    "data",
    [b"\xff" * 10, b"\xff" * 2**20, MASK[:-1], MASK + b"\x0a\x05", MASK + b"\x0f", MASK + b"\x00", MASK + b"\x0d\x00"],
    ids=["short", "long", "truncated", "a part is truncated", "wire type 7", "field 0", "a number is truncated"],
)
def test_what_is_no_message_is_an_invalid_argument(data: bytes) -> None:
    with pytest.raises(InvalidArgument, match=r"no message of sixpoint\.v1\.AnnotateRequest"):
        decode(data)


@pytest.mark.parametrize(
    "data",
    [
        bytes([PROMPTS | 2, 0]) * 2**20,
        bytes([UNKNOWN | 0, 0]) * 2**20,
        bytes([UNKNOWN | 3, UNKNOWN | 4]) * 2**20,
        bytes([UNKNOWN | 5, 0, 0, 0, 0]) * 2**19,
        bytes([UNKNOWN | 1, *bytes(8)]) * 2**18,
        annotation_pb.AnnotateRequest(
            prompts=[
                annotation_pb.Prompt(extreme_points=annotation_pb.ExtremePoints(points=[volume_pb.Point()] * 100_000))
            ]
        ).SerializeToString(),
        annotation_pb.AnnotateRequest(
            prompts=[annotation_pb.Prompt(mask=annotation_pb.MaskPatch(box=volume_pb.Box(upper=[1] * 2**20)))]
        ).SerializeToString(),
    ],
    ids=["empty prompts", "numbers", "groups", "32 bits", "64 bits", "points", "packed numbers"],
)
def test_a_message_of_too_many_fields_is_refused_before_it_is_parsed(data: bytes) -> None:
    def parse(_: bytes) -> None:
        raise AssertionError("it is parsed")

    parse.__self__ = annotation_pb.AnnotateRequest  # type: ignore[attr-defined]
    with pytest.raises(InvalidArgument, match="more than 10000 fields"):
        decoder(parse)(data)


def test_messages_of_usual_clients_are_read() -> None:
    point = volume_pb.Point(x=1.5, y=2.5, z=3.5)
    click = annotation_pb.Click(frame=volume_pb.FRAME_LPS, sign=annotation_pb.CLICK_SIGN_POSITIVE, point=point)
    request = annotation_pb.AnnotateRequest(session_id="s", segment=2, revision=3, request_id="r" * 64)
    request.prompts.extend([annotation_pb.Prompt(click=click)] * 1000)
    request.prompts.add(mask=annotation_pb.MaskPatch(box=volume_pb.Box(upper=(9, 9, 9)), bits=bytes(2**20)))
    assert decode(request.SerializeToString()) == request
    chunk = image_pb.UploadImageRequest(chunk=bytes(2**20))
    assert decoder(image_pb.UploadImageRequest.FromString)(chunk.SerializeToString()) == chunk
    assert decode(b"") == annotation_pb.AnnotateRequest()


def test_what_is_in_an_unknown_group_is_unknown() -> None:
    field = bytes([PROMPTS | 2, 2, 0xFF, 0xFF])
    assert decode(MASK + bytes([UNKNOWN | 3]) + field + bytes([UNKNOWN | 4])).prompts == decode(MASK).prompts
    with pytest.raises(InvalidArgument, match="no message"):
        decode(MASK + bytes([UNKNOWN | 3, UNKNOWN | 4]) + field)


async def test_every_kind_of_call_answers_invalid_argument() -> None:
    async def unary(request: Any, context: Any) -> bytes:
        return b""

    async def answers(request: Any, context: Any) -> AsyncIterator[bytes]:
        yield b""

    async def stream(requests: AsyncIterator[Any], context: Any) -> bytes:
        return b"".join([b"" async for _ in requests])

    read = annotation_pb.AnnotateRequest.FromString
    handlers: dict[str, Any] = {
        "Unary": grpc.unary_unary_rpc_method_handler(unary, request_deserializer=read),
        "Answers": grpc.unary_stream_rpc_method_handler(answers, request_deserializer=read),
        "Stream": grpc.stream_unary_rpc_method_handler(stream, request_deserializer=read),
    }
    server = grpc.aio.server(
        interceptors=[
            CallInterceptor(RunningCalls(), DEADLINES, authenticator=OpenAccess(), role_for=lambda _: Role.VIEWER)
        ]
    )
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler("sixpoint.Test", handlers)])
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()

    async def bad() -> AsyncIterator[bytes]:
        yield b""
        yield b"\xff"

    async def no_request() -> AsyncIterator[bytes]:
        return
        yield b""

    try:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            made: Any = channel
            for call in (
                made.unary_unary("/sixpoint.Test/Unary")(b"\xff"),
                made.unary_stream("/sixpoint.Test/Answers")(b"\xff").read(),
                made.stream_unary("/sixpoint.Test/Stream")(bad()),
            ):
                with pytest.raises(grpc.aio.AioRpcError) as caught:
                    await call
                assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT, caught.value
                assert "no message of" in (caught.value.details() or "")
            for call in (
                made.stream_unary("/sixpoint.Test/Unary")(no_request()),
                made.stream_stream("/sixpoint.Test/Answers")(no_request()).read(),
            ):
                with pytest.raises(grpc.aio.AioRpcError, match="no request; send one message") as caught:
                    await call
                assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    finally:
        await server.stop(None)
