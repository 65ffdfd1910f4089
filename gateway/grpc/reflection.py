"""Limits of gRPC reflection: how many ask at once, and for how long."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import grpc
import grpc.aio

from gateway.grpc.idle import IdleGuard, IdleLimit
from sixpoint.errors import DeadlineExceeded

__all__ = ["ReflectionInterceptor"]

_MAX_STREAMS = 16
_IDLE_S = 60.0

_Context = grpc.aio.ServicerContext[Any, Any]


class ReflectionInterceptor(grpc.aio.ServerInterceptor):
    """Limits the streams of ``grpc.reflection``; tools such as grpcurl open one for a moment.

    Args:
        idle_seconds: Seconds after which a stream without a question is ended.
    """

    def __init__(self, *, idle_seconds: float = _IDLE_S) -> None:
        self._idle = IdleLimit(idle_seconds, setting="fixed", advice="open another stream")
        self._open = 0

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Any]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Any:
        """Wrap the handler of a reflection stream."""
        handler = await continuation(handler_call_details)
        if handler is None or not handler_call_details.method.startswith("/grpc.reflection."):
            return handler
        answer = handler.stream_stream

        async def call(questions: AsyncIterator[Any], context: _Context) -> AsyncIterator[Any]:
            if self._open >= _MAX_STREAMS:
                await context.abort(
                    grpc.StatusCode.RESOURCE_EXHAUSTED, f"{_MAX_STREAMS} reflection streams are open; try again"
                )
            self._open += 1
            try:
                async for message in answer(IdleGuard(self._idle).guard(questions), context):
                    yield message
            except DeadlineExceeded as error:
                await context.abort(grpc.StatusCode.DEADLINE_EXCEEDED, error.message)
            finally:
                self._open -= 1

        return grpc.stream_stream_rpc_method_handler(
            call,
            request_deserializer=handler.request_deserializer,
            response_serializer=handler.response_serializer,
        )
