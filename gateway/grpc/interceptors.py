"""Round every call of sixpoint's own services: a log line, a deadline, and errors as ``google.rpc.Status``."""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import Awaitable, Callable
from typing import Any

import grpc
import grpc.aio

from sixpoint.errors import DeadlineExceeded, InternalError, SixpointError
from sixpoint.protocol import DETAILS_KEY, error_to_status, status_code

__all__ = ["CallInterceptor"]

_log = logging.getLogger(__name__)

_Context = grpc.aio.ServicerContext[Any, Any]
_Behaviour = Callable[[Any, _Context], Awaitable[Any]]
_Refusal = tuple[grpc.StatusCode, str, tuple[tuple[str, bytes]]]


class CallInterceptor(grpc.aio.ServerInterceptor):
    """Wraps the calls of ``sixpoint.v1``; health and reflection pass untouched.

    A stream in both directions lasts as long as its viewer likes: its actions have deadlines of their own.

    Args:
        call_seconds: Deadline of a unary call that brings none.
        upload_seconds: Deadline of a client stream that brings none.
        segmentation_seconds: Deadline of a server stream that brings none.
    """

    def __init__(self, *, call_seconds: float, upload_seconds: float, segmentation_seconds: float) -> None:
        self._call_seconds = call_seconds
        self._upload_seconds = upload_seconds
        self._segmentation_seconds = segmentation_seconds

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Any]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Any:
        """Wrap the handler that the server would call."""
        handler = await continuation(handler_call_details)
        method = handler_call_details.method
        if handler is None or not method.startswith("/sixpoint."):
            return handler
        codecs = {
            "request_deserializer": handler.request_deserializer,
            "response_serializer": handler.response_serializer,
        }
        if handler.stream_unary:
            wrapped = self._wrap(handler.stream_unary, method, self._upload_seconds)
            return grpc.stream_unary_rpc_method_handler(wrapped, **codecs)
        if handler.unary_stream:
            wrapped = self._wrap(handler.unary_stream, method, self._segmentation_seconds)
            return grpc.unary_stream_rpc_method_handler(wrapped, **codecs)
        if handler.stream_stream:
            return grpc.stream_stream_rpc_method_handler(self._wrap(handler.stream_stream, method, None), **codecs)
        wrapped = self._wrap(handler.unary_unary, method, self._call_seconds)
        return grpc.unary_unary_rpc_method_handler(wrapped, **codecs)

    def _wrap(self, behaviour: _Behaviour, method: str, default_seconds: float | None) -> Callable[..., Any]:
        async def call(request: Any, context: _Context) -> Any:
            started = time.perf_counter()
            code = grpc.StatusCode.OK.name
            reason = ""
            try:
                # gRPC itself cancels this task when the caller's own deadline passes.
                async with asyncio.timeout(None if context.time_remaining() is not None else default_seconds):
                    return await behaviour(request, context)
            except asyncio.CancelledError:
                code = grpc.StatusCode.CANCELLED.name
                raise
            except Exception as failure:
                refusal, reason = _refusal(_as_sixpoint_error(failure))
                code = refusal[0].name
            finally:
                _log.info(
                    "call",
                    extra={
                        "call": secrets.token_hex(8),
                        "method": method,
                        "code": code,
                        "reason": reason,
                        "seconds": round(time.perf_counter() - started, 4),
                    },
                )
            # gRPC keeps what abort raises, its context and this frame until garbage is collected: so the failure, whose
            # frames hold all that the call had at hand, is forgotten by now, and the request is, too.
            del request
            return await context.abort(*refusal)

        return call


def _as_sixpoint_error(failure: Exception) -> SixpointError:
    if isinstance(failure, SixpointError):
        return failure
    if isinstance(failure, TimeoutError):
        return DeadlineExceeded("the call took longer than the server allows without a deadline of its own")
    _log.error("unexpected exception", exc_info=failure)
    return InternalError("a fault of the server's own; its log says more")


def _refusal(error: SixpointError) -> tuple[_Refusal, str]:
    """What a call is aborted with, and the error's reason; neither refers to the error."""
    details = ((DETAILS_KEY, error_to_status(error).SerializeToString()),)
    return (status_code(error), error.message, details), error.reason
