"""Who carries plans out: calls made, waited for and repeated; once blocking, once on the event loop."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any, TypeVar

import grpc
import grpc.aio
from google.protobuf.message import Message

from sixpoint.client._retry import Attempts, Retry
from sixpoint.client._sansio import Call, Pause, Plan, Stubs, Work
from sixpoint.errors import SixpointError, Unavailable
from sixpoint.protocol.status import error_from_rpc, is_from_gateway

__all__ = ["AsyncDriver", "BaseDriver", "Driver"]

_Result = TypeVar("_Result")
_Metadata = tuple[tuple[str, str | bytes], ...]

# When a server refuses a stream that is still being sent, grpc.aio may put a status of its own in the place of the
# server's (github.com/grpc/grpc/issues/36066): the stream is then sent again, so often at most, to hear the reason.
# Each time the client listens longer before it sends more than the beginning.
_LOST = "Internal error from Core"
_HEARINGS = 4
_LISTENING_S = 0.1


class BaseDriver:
    """What both drivers are made of.

    Args:
        channel: To the gateway; ``grpc.Channel`` or ``grpc.aio.Channel``.
        target: Its name, for messages.
        retry: How patient to be.
        metadata: Sent with every call.
    """

    def __init__(self, channel: Any, *, target: str, retry: Retry, metadata: _Metadata) -> None:
        self._stubs = Stubs(channel)
        self._target = target
        self._retry = retry
        self._metadata = metadata

    def explain(self, failure: grpc.RpcError) -> SixpointError:
        """The error that a failed call stands for; when nothing answered at all, one that says what to do."""
        error = error_from_rpc(failure)
        if _is_lost(failure):
            return Unavailable(
                "the gateway ended the call while it was being sent to, and its reason was lost on the way"
            )
        if type(error) is Unavailable and not is_from_gateway(failure):
            return Unavailable(
                f"no gateway answers at {self._target} ({error.message}); start one with `make serve`, or name another "
                "with SIXPOINT_SERVER or --server"
            )
        return error


class Driver(BaseDriver):
    """Carries plans out, and waits."""

    def run(self, plan: Plan[_Result]) -> _Result:
        """Carry a plan out."""
        result: Any = None
        error: SixpointError | None = None
        while True:
            try:
                step = plan.send(result) if error is None else plan.throw(error)
            except StopIteration as end:
                value: _Result = end.value
                return value
            result, error = None, None
            try:
                match step:
                    case Call():
                        result = self._make(step)
                    case Work():
                        result = step.function()
                    case Pause():
                        time.sleep(step.seconds)
            except SixpointError as failure:
                error = failure

    def stream(self, requests: Iterator[Message]) -> Any:
        """Open the stream of a viewer."""
        return self._stubs.method("Interact")(requests, metadata=self._metadata)

    def _make(self, call: Call) -> Any:
        method = self._stubs.method(call.method)
        attempts = Attempts(self._retry, timeout=call.timeout, now=time.monotonic())
        while True:
            left = attempts.remaining(time.monotonic())
            try:
                request = call.request if call.stream is None else call.stream()
                answer = method(request, timeout=left, metadata=self._metadata)
                return answer if call.receive is None else _received(answer, call.receive)
            except grpc.RpcError as failure:
                error = self.explain(failure)
                pause = attempts.pause(error, now=time.monotonic()) if call.safe else None
                if pause is None:
                    raise error from failure
            time.sleep(pause)


class AsyncDriver(BaseDriver):
    """Carries plans out on the event loop."""

    async def run(self, plan: Plan[_Result]) -> _Result:
        """Carry a plan out."""
        result: Any = None
        error: SixpointError | None = None
        while True:
            try:
                step = plan.send(result) if error is None else plan.throw(error)
            except StopIteration as end:
                value: _Result = end.value
                return value
            result, error = None, None
            try:
                match step:
                    case Call():
                        result = await self._make(step)
                    case Work():
                        # What takes seconds for a large image: off the event loop.
                        result = await asyncio.to_thread(step.function)
                    case Pause():
                        await asyncio.sleep(step.seconds)
            except SixpointError as failure:
                error = failure

    def stream(self) -> Any:
        """Open the stream of a viewer."""
        return self._stubs.method("Interact")(metadata=self._metadata)

    async def _make(self, call: Call) -> Any:
        method = self._stubs.method(call.method)
        attempts = Attempts(self._retry, timeout=call.timeout, now=time.monotonic())
        hearings = 1
        while True:
            left = attempts.remaining(time.monotonic())
            try:
                listening = _LISTENING_S * (hearings - 1)
                request = call.request if call.stream is None else _awaited(call.stream(), listening=listening)
                answer = method(request, timeout=left, metadata=self._metadata)
                if call.receive is None:
                    return await answer
                async for message in answer:
                    call.receive(message)
                return None
            except grpc.RpcError as failure:
                if call.stream is not None and _is_lost(failure) and hearings < _HEARINGS:
                    hearings += 1
                    continue
                error = self.explain(failure)
                pause = attempts.pause(error, now=time.monotonic()) if call.safe else None
                if pause is None:
                    raise error from failure
            await asyncio.sleep(pause)


def _is_lost(failure: grpc.RpcError) -> bool:
    return isinstance(failure, grpc.aio.AioRpcError) and failure.details() == _LOST


def _received(stream: Any, receive: Callable[[Message], None]) -> None:
    """Hand each message on; a stream that is left early is cancelled."""
    try:
        for message in stream:
            receive(message)
    finally:
        stream.cancel()


async def _awaited(messages: Iterator[Message], *, listening: float) -> AsyncIterator[Message]:
    """The messages of a stream; seconds of ``listening`` after the first one."""
    for number, message in enumerate(messages):
        if number == 1 and listening:
            await asyncio.sleep(listening)
        yield message
