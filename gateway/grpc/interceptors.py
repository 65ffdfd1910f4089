"""Give every call of sixpoint's services a principal, a deadline, a log line, and errors as ``google.rpc.Status``."""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, cast

import grpc
import grpc.aio

from gateway.core.access import (
    NO_AUDIT,
    NOBODY,
    Activity,
    Auditor,
    Authenticator,
    CallLimits,
    Principal,
    Role,
    Unlimited,
    check_role,
    note_refusal,
)
from gateway.core.runtime import DeadlineLimits
from gateway.core.runtime.fairness import Turns, acting_for, refusal_pause
from gateway.grpc.handler_cache import HandlerCache
from gateway.grpc.handlers import Context, Handler, metadata_first, until_credentials_end
from gateway.grpc.identity import CallContext, credentials_of, peer_of
from gateway.grpc.messages.decoding import decode_request, decode_stream, decoder, with_size
from gateway.grpc.messages.other_services import read_in_turn
from gateway.grpc.messages.turns import MessageTurns
from gateway.grpc.messages.uploads import upload_decoder
from gateway.grpc.permissions import role_for
from gateway.grpc.refusals import abort, abort_arguments, as_sixpoint_error
from gateway.grpc.running_calls import RunningCalls
from gateway.observability.pseudonyms import pseudonym
from sixpoint.errors import ResourceExhausted, Unauthenticated

__all__ = ["CallDeadlines", "CallInterceptor", "is_short"]

_log = logging.getLogger(__name__)

_MAX_PAUSING = 1000
# Streams of parts, but no segmentations.
_DOWNLOAD, _IN_PARTS = "/sixpoint.v1.ImageService/DownloadImage", "/sixpoint.v1.DatasetService/GetAnnotation"
_WATCH = "/sixpoint.v1.JobService/WatchJob"
# They have places of their own.
_ADMITTED = "/sixpoint.v1.AnnotationService/"
# They wait for calls on their session, which may take seconds, or for masks.
_WAITING = frozenset(
    {
        "/sixpoint.v1.SessionService/UpdateSession",
        "/sixpoint.v1.SessionService/CloseSession",
        "/sixpoint.v1.DatasetService/SaveAnnotation",
        "/sixpoint.v1.DatasetService/ImportAnnotation",
    }
)
_UNIDENTIFIED = (Unauthenticated, ResourceExhausted)


def is_short(method: str) -> bool:
    """Whether a unary call takes its turn among the short ones.

    Args:
        method: Full name of the call.
    """
    return not method.startswith(_ADMITTED) and method not in _WAITING


@dataclass(frozen=True)
class CallDeadlines:
    """Deadlines of each kind of call.

    Attributes:
        call: Of each action of a bidirectional stream, and of all other calls.
        upload: Of a client stream, and of an image that is returned.
        segmentation: Of a segmentation.
        stream: Of a bidirectional stream, and of a job that is watched.
    """

    call: DeadlineLimits
    upload: DeadlineLimits
    segmentation: DeadlineLimits
    stream: DeadlineLimits


@dataclass
class _Ending:
    code: str = grpc.StatusCode.OK.name
    reason: str = ""
    caller: str = ""
    level: int = logging.INFO


class CallInterceptor(grpc.aio.ServerInterceptor):
    """Wraps the calls of ``sixpoint.v1``; of those of other services it only reads the requests.

    A call is carried out for the principal that its credentials prove, if that has the role which the call needs. Short
    calls run in turns by principal. Handlers of streams in both directions get each message as :class:`Received`.

    Args:
        calls: Counts the calls that run.
        deadlines: Deadlines of each kind of call.
        authenticator: Turns credentials into principals.
        role_for: Function of a call's full name that returns the role it needs.
        limits: Limits of what one principal may do in a time.
        auditor: Takes notes of calls that are refused.
        turns: Turns of short calls; None to run all at once.
        on_end: Function called with method, status code and seconds of each call that ended.
    """

    def __init__(
        self,
        calls: RunningCalls,
        deadlines: CallDeadlines,
        *,
        authenticator: Authenticator,
        role_for: Callable[[str], Role] = role_for,
        limits: CallLimits | None = None,
        auditor: Auditor = NO_AUDIT,
        turns: Turns | None = None,
        on_end: Callable[[str, str, float], None] = lambda *_: None,
    ) -> None:
        self._calls = calls
        self._deadlines = deadlines
        self._authenticator = authenticator
        self._role_for = role_for
        self._limits = limits or Unlimited()
        self._auditor = auditor
        self._turns = turns
        self._on_end = on_end
        self._messages = MessageTurns()
        self._handlers = HandlerCache(self._wrap_handler)
        self._pausing = 0

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Any]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Any:
        """Wrap the handler of a call."""
        handler = await continuation(handler_call_details)
        return handler and self._handlers.get(handler_call_details.method, handler)

    def _wrap_handler(self, method: str, handler: Any) -> Any:
        if not method.startswith("/sixpoint."):
            return read_in_turn(handler, self._messages)
        # Requests are read inside the wrapped call: an error of gRPC's own reader would be INTERNAL. That of a single
        # request, too, since gRPC would take it over at any time, and before it is known who calls.
        codecs = {"request_deserializer": None, "response_serializer": handler.response_serializer}
        decode = decoder(handler.request_deserializer or bytes)
        if handler.stream_unary:
            decode = upload_decoder(handler.request_deserializer or bytes)
            wrapped = self._wrap(
                handler.stream_unary, method, self._deadlines.upload, decode, Activity.UPLOAD, streams=True
            )
            return grpc.stream_unary_rpc_method_handler(wrapped, **codecs)
        if handler.unary_stream:
            handle = metadata_first(handler.unary_stream)
            others = {
                _DOWNLOAD: self._deadlines.upload,
                _IN_PARTS: self._deadlines.call,
                _WATCH: self._deadlines.stream,
            }
            deadline = others.get(method, self._deadlines.segmentation)
            activity = Activity.CALL if method in others else Activity.SEGMENTATION
            wrapped = self._wrap(handle, method, deadline, decode, activity)
            return grpc.stream_stream_rpc_method_handler(wrapped, **codecs)
        if handler.stream_stream:
            # The one kind of call that takes hours, and carries out further actions meanwhile.
            handle = metadata_first(until_credentials_end(handler.stream_stream))
            wrapped = self._wrap(handle, method, self._deadlines.stream, with_size(decode), streams=True)
            return grpc.stream_stream_rpc_method_handler(wrapped, **codecs)
        handle = self._in_turn(handler.unary_unary) if is_short(method) else handler.unary_unary
        wrapped = self._wrap(handle, method, self._deadlines.call, decode)
        return grpc.stream_unary_rpc_method_handler(wrapped, **codecs)

    async def _identify(self, context: Context) -> CallContext:
        credentials = credentials_of(context)

        async def identify() -> Principal:
            return replace(await self._authenticator.authenticate(credentials), peer=credentials.peer)

        return CallContext(context, await identify(), identify=identify)

    def _counted(self, decode: Callable[[bytes], Any], principal: Principal) -> Callable[[bytes], Any]:
        def count(data: bytes) -> Any:
            self._limits.count_uploaded(principal, len(data))
            return decode(data)

        return count

    async def _pause(self, seconds: float) -> None:
        """Hold a refusal back; not if very many are, since each takes memory."""
        if seconds and self._pausing < _MAX_PAUSING:
            self._pausing += 1
            try:
                await asyncio.sleep(seconds)
            finally:
                self._pausing -= 1

    def _in_turn(self, handle: Handler) -> Handler:
        turns = self._turns
        if turns is None:
            return handle

        async def call(request: Any, context: Context) -> Any:
            async with turns.take():
                return await handle(request, context)

        return call

    def _wrap(
        self,
        handle: Handler,
        method: str,
        limits: DeadlineLimits,
        decode: Callable[[bytes], Any],
        activity: Activity = Activity.CALL,
        *,
        streams: bool = False,
    ) -> Callable[..., Any]:
        async def carry_out(context: Context, caller: CallContext) -> Any:
            principal = caller.principal
            check_role(principal, self._role_for(method))
            for each in dict.fromkeys((Activity.CALL, activity)):
                self._limits.check(principal, each)
            counted = self._counted(decode, principal) if activity is Activity.UPLOAD else decode
            read = partial(self._messages.read, context)
            with acting_for(principal.account):
                request = decode_stream(counted, read) if streams else await decode_request(decode, read)
                # It is the context, with one attribute more.
                return await handle(request, cast("Context", caller))

        async def call(_: object, context: Context) -> Any:
            self._calls.add(context)
            remaining = context.time_remaining()
            caller: CallContext | None = None
            with self._noted(method) as ending:
                try:
                    # gRPC itself cancels this task once the client's deadline passes.
                    async with asyncio.timeout(limits.seconds(remaining)) as scope:
                        caller = await self._identify(context)
                        ending.caller = pseudonym(caller.principal)
                        return await carry_out(context, caller)
                except Exception as failure:
                    error = limits.error(remaining) if scope.expired() else as_sixpoint_error(failure)
                    pause = refusal_pause(error)
                    if caller is None and isinstance(error, _UNIDENTIFIED):
                        # The authenticator logs them at a bounded rate: anyone who reaches the port could fill the log.
                        ending.level = logging.DEBUG
                    principal = caller.principal if caller else replace(NOBODY, peer=peer_of(context))
                    note_refusal(self._auditor, principal, method.rpartition("/")[2], error)
                    arguments, ending.reason = abort_arguments(error)
                    # The frame of this call outlives it.
                    del error
                    ending.code = arguments[0].name
            await self._pause(pause)
            return await abort(context, arguments)

        return call

    @contextmanager
    def _noted(self, method: str) -> Iterator[_Ending]:
        """Count and log a call as it ends."""
        ending = _Ending()
        started = time.perf_counter()
        try:
            yield ending
        except asyncio.CancelledError:
            ending.code = grpc.StatusCode.CANCELLED.name
            raise
        finally:
            seconds = time.perf_counter() - started
            self._on_end(method, ending.code, seconds)
            _log.log(
                ending.level,
                "call",
                extra={
                    "call": secrets.token_hex(8),
                    "caller": ending.caller,
                    "method": method,
                    "code": ending.code,
                    "reason": ending.reason,
                    "seconds": round(seconds, 4),
                },
            )
