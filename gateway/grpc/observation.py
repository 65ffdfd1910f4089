"""Observe the calls of sixpoint's services from outside: their bytes, and, where calls are traced, a span for each."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import grpc
import grpc.aio

from gateway.grpc.handler_cache import HandlerCache
from gateway.observability.tracing import TRACE_KEY, CallTracer

__all__ = ["ObservationInterceptor"]

_Context = grpc.aio.ServicerContext[Any, Any]
_KINDS = ("unary_unary", "unary_stream", "stream_unary", "stream_stream")


class ObservationInterceptor(grpc.aio.ServerInterceptor):
    """Observes calls of methods that exist. It must be the first: what the others log belongs to the call's trace.

    Args:
        on_bytes: Function called with the full name of the method, received bytes and sent bytes for each message.
        tracer: Makes the spans; None to trace nothing.
    """

    def __init__(self, on_bytes: Callable[[str, int, int], None], *, tracer: CallTracer | None) -> None:
        self._on_bytes = on_bytes
        self._tracer = tracer
        self._handlers = HandlerCache(self._wrap)

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Any]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Any:
        """Wrap the handler of a call."""
        handler = await continuation(handler_call_details)
        method = handler_call_details.method
        if handler is None or not method.startswith("/sixpoint."):
            return handler
        return self._handlers.get(method, handler)

    def _wrap(self, method: str, handler: Any) -> Any:
        kind = next(kind for kind in _KINDS if getattr(handler, kind))
        handle, on_bytes = getattr(handler, kind), self._on_bytes
        read, write = handler.request_deserializer, handler.response_serializer

        def receive(data: bytes) -> Any:
            on_bytes(method, len(data), 0)
            return read(data) if read else data

        def send(message: Any) -> bytes:
            data: bytes = write(message)
            on_bytes(method, 0, len(data))
            return data

        make = getattr(grpc, f"{kind}_rpc_method_handler")
        if self._tracer is not None:
            handle = _traced(handle, method.removeprefix("/"), self._tracer)
        return make(handle, request_deserializer=receive, response_serializer=send)


def _traced(handle: Callable[[Any, _Context], Awaitable[Any]], method: str, tracer: CallTracer) -> Callable[..., Any]:
    async def call(request: Any, context: _Context) -> Any:
        with tracer.call(method, parent=_parent(context)) as span:
            # gRPC keeps the exception of abort with this frame, which must not refer to the request.
            answering = handle(request, context)
            del request
            try:
                return await answering
            except asyncio.CancelledError:
                span.code = grpc.StatusCode.CANCELLED.name
                raise
            except BaseException:
                span.code = _code(context)
                raise

    return call


def _parent(context: _Context) -> str:
    values = [value for key, value in context.invocation_metadata() or () if key == TRACE_KEY]
    return values[0] if len(values) == 1 and isinstance(values[0], str) else ""


def _code(context: _Context) -> str:
    """Name of the status code with which a call was aborted."""
    code: Any = context.code()
    return code.name if isinstance(code, grpc.StatusCode) else grpc.StatusCode.UNKNOWN.name
