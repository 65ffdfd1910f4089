"""Drivers: they run operations, make their calls and retry them, one blocking, one on the event loop."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any, TypeVar

import grpc
import grpc.aio

from sixpoint.client._retry import Attempts, Retry
from sixpoint.client._sansio import Call, ClientStreamingCall, Effect, Operation, Pause, ServerStreamingCall, Work
from sixpoint.client._transport.channel import Stubs
from sixpoint.client._transport.tracing import Metadata
from sixpoint.client.tokens import TokenSource, bearer_metadata
from sixpoint.errors import ImageNotFound, SixpointError, Unauthenticated, Unavailable
from sixpoint.protocol import (
    closed_at_once,
    describe_foreign_server,
    describe_tls_failure,
    error_from_rpc,
    is_from_gateway,
)
from sixpoint.v1 import annotation_service_pb2 as annotation_pb

__all__ = ["AsyncDriver", "Driver", "Metadata"]

AnyCall = Call[Any, Any] | ClientStreamingCall[Any, Any] | ServerStreamingCall[Any, Any]

_Result = TypeVar("_Result")
_Message = TypeVar("_Message")

# When a server refuses a stream while the client still sends, grpc.aio may replace the server's status by its own
# (github.com/grpc/grpc/issues/36066). The stream is then sent again to learn the reason, in this many attempts. Before
# each further attempt sends more than its first message, it waits this much longer for the refusal.
_LOST_STATUS = "Internal error from Core"
_RESEND_ATTEMPTS = 4
_RESEND_PAUSE_S = 0.1


class _BaseDriver:
    """The parts that both drivers share.

    Args:
        stubs: RPC methods of the gateway.
        target: Address of the gateway, for error messages.
        retry: Policy for repeated attempts.
        metadata: Metadata that is sent with every call.
        tokens: Source of the token that is sent with every call.
    """

    def __init__(self, stubs: Stubs, *, target: str, retry: Retry, metadata: Metadata, tokens: TokenSource) -> None:
        self._stubs = stubs
        self._target = target
        self._retry = retry
        self._metadata = metadata
        self._tokens = tokens

    def _with_token(self, token: str) -> Metadata:
        """The metadata of a call."""
        return (*self._metadata, bearer_metadata(token)) if token else self._metadata

    def explain(self, failure: grpc.RpcError) -> SixpointError:
        """Convert the failure of a call; if no gateway answered, the message says what to do."""
        error = error_from_rpc(failure)
        if _is_status_lost(failure):
            return Unavailable("the gateway ended the call during the upload, and gRPC lost the reason; try again")
        if foreign := describe_foreign_server(failure):
            return Unavailable(
                f"no sixpoint gateway answers at {self._target}: {foreign}. Name the gateway's address with "
                "SIXPOINT_SERVER, --server, or Client(address)"
            )
        if problem := describe_tls_failure(failure):
            return Unavailable(f"no connection to {self._target}: {problem}")
        if type(error) is Unavailable and not is_from_gateway(failure):
            tls = ""
            if closed_at_once(failure):
                tls = f"; if it expects TLS, write https://{self._target}"
                if self._target.startswith("https://"):
                    tls = "; if it asks for a certificate, name one that it trusts with SIXPOINT_CLIENT_CERT_FILE"
            return Unavailable(
                f"no gateway answers at {self._target} ({error.message}); start one with `make serve`, or name another "
                f"with SIXPOINT_SERVER or --server{tls}"
            )
        return error


class Driver(_BaseDriver):
    """Run operations and block until they end."""

    def run(self, operation: Operation[_Result]) -> _Result:
        """Run an operation and return its result."""
        result: object = None
        error: SixpointError | None = None
        while True:
            try:
                effect = operation.send(result) if error is None else operation.throw(error)
            except StopIteration as end:
                value: _Result = end.value
                return value
            result, error = None, None
            try:
                result = self._carry_out(effect)
            except SixpointError as failure:
                error = failure

    def interact(
        self, requests: Iterator[annotation_pb.InteractRequest]
    ) -> grpc._CallIterator[annotation_pb.InteractResponse]:
        """Open the stream of an interaction.

        Args:
            requests: Messages to send; a thread of gRPC's takes them as they come.
        """
        method = self._stubs.annotation.Interact
        with self._stubs.span(method, self._with_token(self._token())) as metadata:
            return method(requests, metadata=metadata)

    def _token(self) -> str:
        token = self._tokens.ready()
        return self._tokens.fetch() if token is None else token

    def _carry_out(self, effect: Effect[Any]) -> object:
        match effect:
            case Work():
                return effect.function()
            case Pause():
                time.sleep(effect.seconds)
                return None
            case Call() | ClientStreamingCall() | ServerStreamingCall():
                try:
                    return self._authenticated(effect)
                except ImageNotFound:
                    if not isinstance(effect, Call) or effect.restore_image is None:
                        raise
                self.run(effect.restore_image())
                return self._authenticated(effect)
        raise TypeError(f"unknown effect {effect}")

    def _authenticated(self, call: AnyCall) -> object:
        """Make a call, once more if the gateway does not accept its token and there is another."""
        token = self._token()
        try:
            return self._call(call, self._with_token(token))
        except Unauthenticated:
            renewed = self._tokens.renew(token)
            if renewed is None:
                raise
        return self._call(call, self._with_token(renewed))

    def _call(self, call: AnyCall, metadata: Metadata) -> object:
        """Make a call, with retries."""
        attempts = Attempts(self._retry, timeout=call.timeout, now=time.monotonic())
        while True:
            timeout = attempts.remaining(time.monotonic())
            try:
                with self._stubs.span(call.method, metadata) as sent:
                    if isinstance(call, ClientStreamingCall):
                        return call.method(call.requests(), timeout=timeout, metadata=sent)
                    if isinstance(call, Call):
                        return call.method(call.request, timeout=timeout, metadata=sent)
                    responses = call.method(call.request, timeout=timeout, metadata=sent)
                    try:
                        for message in responses:
                            call.receive(message)
                    finally:
                        # If `receive` raised, the gateway must not go on.
                        responses.cancel()
                    return None
            except grpc.RpcError as failure:
                error = self.explain(failure)
                pause = _pause(call, failure, error, attempts)
                if pause is None:
                    raise error from failure
            time.sleep(pause)


class AsyncDriver(_BaseDriver):
    """Run operations on the event loop."""

    async def run(self, operation: Operation[_Result]) -> _Result:
        """Run an operation and return its result."""
        result: object = None
        error: SixpointError | None = None
        while True:
            try:
                effect = operation.send(result) if error is None else operation.throw(error)
            except StopIteration as end:
                value: _Result = end.value
                return value
            result, error = None, None
            try:
                result = await self._carry_out(effect)
            except SixpointError as failure:
                error = failure

    async def interact(
        self,
    ) -> grpc.aio.StreamStreamCall[annotation_pb.InteractRequest, annotation_pb.InteractResponse]:
        """Open the stream of an interaction."""
        method: Any = self._stubs.annotation.Interact
        call: grpc.aio.StreamStreamCall[annotation_pb.InteractRequest, annotation_pb.InteractResponse]
        with self._stubs.span(method, self._with_token(await self._token())) as metadata:
            call = method(metadata=metadata)
        return call

    async def _token(self) -> str:
        token = self._tokens.ready()
        return await asyncio.to_thread(self._tokens.fetch) if token is None else token

    async def _carry_out(self, effect: Effect[Any]) -> object:
        match effect:
            case Work():
                return await asyncio.to_thread(effect.function)
            case Pause():
                await asyncio.sleep(effect.seconds)
                return None
            case Call() | ClientStreamingCall() | ServerStreamingCall():
                try:
                    return await self._authenticated(effect)
                except ImageNotFound:
                    if not isinstance(effect, Call) or effect.restore_image is None:
                        raise
                await self.run(effect.restore_image())
                return await self._authenticated(effect)
        raise TypeError(f"unknown effect {effect}")

    async def _authenticated(self, call: AnyCall) -> object:
        """Make a call, once more if the gateway does not accept its token and there is another."""
        token = await self._token()
        try:
            return await self._call(call, self._with_token(token))
        except Unauthenticated:
            renewed = await asyncio.to_thread(self._tokens.renew, token)
            if renewed is None:
                raise
        return await self._call(call, self._with_token(renewed))

    async def _call(self, call: AnyCall, metadata: Metadata) -> object:
        """Make a call, with retries."""
        if isinstance(call, ClientStreamingCall):
            return await self._send_stream(call, metadata)
        # Typed as blocking; over a channel of grpc.aio it returns an awaitable, or an asynchronous iterator.
        method: Any = call.method
        attempts = Attempts(self._retry, timeout=call.timeout, now=time.monotonic())
        while True:
            timeout = attempts.remaining(time.monotonic())
            try:
                with self._stubs.span(method, metadata) as sent:
                    pending = method(call.request, timeout=timeout, metadata=sent)
                    if isinstance(call, Call):
                        return await pending
                    async for message in pending:
                        call.receive(message)
                    return None
            except grpc.RpcError as failure:
                error = self.explain(failure)
                pause = _pause(call, failure, error, attempts)
                if pause is None:
                    raise error from failure
            await asyncio.sleep(pause)

    async def _send_stream(self, call: ClientStreamingCall[Any, Any], metadata: Metadata) -> object:
        """Send a stream; send it again where gRPC lost the server's reason to refuse it."""
        method: Any = call.method
        end = time.monotonic() + call.timeout
        attempt = 0
        while True:
            requests = _delayed(call.requests(), pause=_RESEND_PAUSE_S * attempt)
            try:
                timeout = max(end - time.monotonic(), 0.0)
                with self._stubs.span(method, metadata) as sent:
                    return await method(requests, timeout=timeout, metadata=sent)
            except grpc.RpcError as failure:
                attempt += 1
                if attempt == _RESEND_ATTEMPTS or not _is_status_lost(failure):
                    raise self.explain(failure) from failure


def _pause(call: AnyCall, failure: grpc.RpcError, error: SixpointError, attempts: Attempts) -> float | None:
    """Return the seconds until a failed call is made again, or None if it must not be."""
    if isinstance(call, ClientStreamingCall) or (isinstance(call, Call) and not call.repeatable):
        return None
    if describe_foreign_server(failure) or describe_tls_failure(failure):
        return None
    return attempts.pause(error, now=time.monotonic())


def _is_status_lost(failure: grpc.RpcError) -> bool:
    return isinstance(failure, grpc.aio.AioRpcError) and failure.details() == _LOST_STATUS


async def _delayed(messages: Iterator[_Message], *, pause: float) -> AsyncIterator[_Message]:
    """Yield the messages of a stream, with a pause in seconds after the first."""
    for number, message in enumerate(messages):
        if number == 1 and pause:
            await asyncio.sleep(pause)
        yield message
