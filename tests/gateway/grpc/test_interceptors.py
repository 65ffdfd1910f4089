"""What goes round every call: that nothing of a refused one stays in memory."""

from __future__ import annotations

import asyncio
import gc
import weakref
from types import TracebackType
from typing import Any

import grpc.aio
import pytest

from gateway.core.access import OpenAccess, Role
from gateway.core.runtime.fairness import refusal_pause
from gateway.grpc.interceptors import CallInterceptor
from gateway.grpc.running_calls import RunningCalls
from sixpoint.errors import InvalidArgument, ResourceExhausted, SixpointError, StorageFull, Unavailable
from tests.gateway.grpc.servers import DEADLINES, serving


class Large:
    """What a call has at hand."""


async def test_what_a_refused_call_had_at_hand_is_freed_without_the_garbage_collector() -> None:
    held: list[weakref.ref[Large]] = []

    def large(_: bytes = b"") -> Large:
        made = Large()
        held.append(weakref.ref(made))
        return made

    async def refuse(request: Large, context: Any) -> None:
        state = large()
        raise InvalidArgument(f"{type(state).__name__} is refused")

    interceptor = CallInterceptor(RunningCalls(), DEADLINES, authenticator=OpenAccess(), role_for=lambda _: Role.VIEWER)
    server = grpc.aio.server(interceptors=[interceptor])
    handlers: dict[str, Any] = {"Refuse": grpc.unary_unary_rpc_method_handler(refuse, request_deserializer=large)}
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler("sixpoint.Test", handlers)])
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    gc.disable()
    try:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            refuse_call: Any = channel.unary_unary("/sixpoint.Test/Refuse")
            with pytest.raises(grpc.aio.AioRpcError, match="Large is refused"):
                await refuse_call(b"")
        # The server has ended the call when it has stopped.
        await server.stop(None)
        assert [reference() for reference in held] == [None, None]
    finally:
        gc.enable()
        await server.stop(None)


@pytest.mark.parametrize(
    ("error", "seconds"),
    [
        (ResourceExhausted("all places are taken", retry_after=1.0), 0.5),
        (ResourceExhausted("all places are taken", retry_after=60.0), 2.0),
        (ResourceExhausted("too large"), 0.0),
        (StorageFull("the disk is full", retry_after=30.0), 0.0),
        (Unavailable("Triton is away", retry_after=1.0), 0.0),
    ],
    ids=str,
)
def test_only_refusals_that_a_caller_could_repeat_at_once_are_held_back(error: SixpointError, seconds: float) -> None:
    assert seconds / 2 <= refusal_pause(error) <= seconds


def test_those_refused_together_do_not_come_back_together() -> None:
    pauses = [refusal_pause(ResourceExhausted("all places are taken", retry_after=1.0)) for _ in range(100)]
    assert max(pauses) - min(pauses) > 0.1


async def test_refused_calls_leave_no_frames_to_the_garbage_collector() -> None:
    async def refuse(request: bytes, context: Any) -> None:
        raise InvalidArgument("refused")

    def frames() -> int:
        return sum(isinstance(each, TracebackType) for each in gc.get_objects())

    async with (
        serving({"Refuse": grpc.unary_unary_rpc_method_handler(refuse)}) as address,
        grpc.aio.insecure_channel(address) as channel,
    ):
        call: Any = channel.unary_unary("/sixpoint.Test/Refuse")
        gc.disable()
        try:
            before = frames()
            for _ in range(50):
                with pytest.raises(grpc.aio.AioRpcError):
                    await call(b"")
            await asyncio.sleep(0.1)
            assert frames() - before < 50
        finally:
            gc.enable()
