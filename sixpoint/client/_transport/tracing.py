"""Spans of a client's calls, where the program that uses the client traces: OpenTelemetry, which is optional."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator

import grpc

__all__ = ["Metadata", "call_span"]

Metadata = tuple[tuple[str, str | bytes], ...]
"""Metadata that is sent with a call."""


@contextlib.contextmanager
def call_span(method: str, metadata: Metadata) -> Iterator[Metadata]:
    """Make the block a span, and yield the metadata that make the gateway's spans its children.

    In a program that does not use OpenTelemetry, the metadata are yielded as they are.

    Args:
        method: Full name of the method, without a slash before it.
        metadata: Metadata of the call.
    """
    # A program that traces has imported it; others do not pay for the import.
    if "opentelemetry.trace" not in sys.modules:
        yield metadata
        return
    from opentelemetry import trace
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    with trace.get_tracer("sixpoint.client").start_as_current_span(
        method,
        kind=trace.SpanKind.CLIENT,
        attributes={"rpc.system.name": "grpc", "rpc.method": method},
        # The text of an error may name a file or a patient.
        record_exception=False,
        set_status_on_exception=False,
    ) as span:
        carrier: dict[str, str] = {}
        TraceContextTextMapPropagator().inject(carrier)
        code = "OK"
        try:
            yield (*metadata, *carrier.items())
        except BaseException as failure:
            code = _code_of(failure)
            raise
        finally:
            span.set_attribute("rpc.response.status_code", code)
            if code != "OK":
                span.set_status(trace.StatusCode.ERROR)


def _code_of(failure: BaseException) -> str:
    """Name of the status code of a call that failed; whatever else ends a call cancels it."""
    # The errors of gRPC's blocking client are calls, and have their methods.
    code = failure.code() if isinstance(failure, grpc.Call | grpc.aio.AioRpcError) else grpc.StatusCode.CANCELLED
    return code.name if isinstance(code, grpc.StatusCode) else grpc.StatusCode.UNKNOWN.name
