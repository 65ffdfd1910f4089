"""Traces: a span for each call, with one for each of its phases below, sent to a collector of OpenTelemetry.

A span names methods, status codes, phases, models and versions. None names an owner, a session, an image, or a point,
and none quotes an error: its text may repeat what a caller sent.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import Token
from types import TracebackType
from typing import NamedTuple

from opentelemetry import context, trace
from opentelemetry.trace import Span, SpanContext, SpanKind, StatusCode, Tracer
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from gateway.core.runtime.phases import Phase, traced_by
from sixpoint.mask import Timings

__all__ = ["TRACE_KEY", "CallSpan", "CallTracer", "EndedPhase", "current_trace", "trace_metadata"]

TRACE_KEY = "traceparent"
"""Metadata key, and header, of the caller's span, as the W3C defines it. ``tracestate`` is not read: it is text."""

# Errors of the gateway, not of the caller, by OpenTelemetry's conventions.
_FAULTS = frozenset({"UNKNOWN", "DEADLINE_EXCEEDED", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS"})
_HTTP_FAULTS = 500
_PROPAGATOR = TraceContextTextMapPropagator()


def current_trace() -> str:
    """Return the id of the trace that the running call belongs to; empty without one."""
    span = trace.get_current_span().get_span_context()
    return trace.format_trace_id(span.trace_id) if span.is_valid else ""


def trace_metadata() -> tuple[tuple[str, str], ...]:
    """Return the metadata that make spans of another server children of the current span; empty if it is not sent.

    Triton sends its spans whatever the flag of the metadata says.
    """
    span = trace.get_current_span().get_span_context()
    if not span.is_valid or not span.trace_flags.sampled:
        return ()
    return ((TRACE_KEY, f"00-{trace.format_trace_id(span.trace_id)}-{trace.format_span_id(span.span_id)}-01"),)


class CallSpan:
    """The span of a call.

    Attributes:
        code: Name of the status code with which the call ends.
        status: HTTP's status code, for a call of HTTP.
    """

    def __init__(self) -> None:
        self.code = "OK"
        self.status = 200


class EndedPhase(NamedTuple):
    """A phase that has ended.

    Attributes:
        name: Name of the phase.
        context: Its ids.
        parent: Ids of the span that it is a part of.
        kind: Whether it asks another server.
        start: Begin, nanoseconds since 1970.
        end: End, nanoseconds since 1970.
        failed: Whether it ended with an exception.
    """

    name: Phase
    context: SpanContext
    parent: SpanContext
    kind: SpanKind
    start: int
    end: int
    failed: bool


class CallTracer:
    """Makes spans of calls and their phases; implements the core's interfaces for phases and for answers.

    Args:
        tracer: OpenTelemetry's tracer, for calls.
        on_phase: Function called with each phase that has ended. A span of OpenTelemetry's own costs a prompt ten
            times as much, and phases need none of what it can do.
    """

    def __init__(self, tracer: Tracer, on_phase: Callable[[EndedPhase], None]) -> None:
        self._tracer = tracer
        self._on_phase = on_phase

    @contextmanager
    def call(self, method: str, *, parent: str) -> Iterator[CallSpan]:
        """Trace the block as a call of gRPC.

        Args:
            method: Full name of the method, without a slash before it.
            parent: The caller's span as it came in the metadata; empty without one.
        """
        call = CallSpan()
        with self._span(method, parent, {"rpc.system.name": "grpc", "rpc.method": method}) as span:
            try:
                yield call
            finally:
                span.set_attribute("rpc.response.status_code", call.code)
                if call.code in _FAULTS:
                    span.set_status(StatusCode.ERROR)

    @contextmanager
    def http_call(self, route: str, *, parent: str) -> Iterator[CallSpan]:
        """Trace the block as a call of HTTP.

        Args:
            route: Method and template of the path.
            parent: The caller's span as it came in the header; empty without one.
        """
        call = CallSpan()
        method, _, path = route.partition(" ")
        with self._span(route, parent, {"http.request.method": method, "http.route": path}) as span:
            try:
                yield call
            finally:
                span.set_attribute("http.response.status_code", call.status)
                if call.status >= _HTTP_FAULTS:
                    span.set_status(StatusCode.ERROR)

    @contextmanager
    def _span(self, name: str, parent: str, attributes: Mapping[str, str]) -> Iterator[Span]:
        opened = self._tracer.start_as_current_span(
            name,
            context=_PROPAGATOR.extract({TRACE_KEY: parent}) if parent else None,
            kind=SpanKind.SERVER,
            attributes=attributes,
            record_exception=False,
            set_status_on_exception=False,
        )
        # Phases of a trace that is not sent cost nothing.
        with opened as span, traced_by(self) if span.is_recording() else nullcontext():
            yield span

    def trace(self, phase: Phase) -> AbstractContextManager[object]:
        """Return a context that is a phase of the current call."""
        return _PhaseContext(phase, self._on_phase)

    def note(self, phase: Phase, *, seconds: float) -> None:
        """Note a phase that ends now."""
        now = time.time_ns()
        parent = trace.get_current_span().get_span_context()
        begin = now - round(seconds * 1e9)
        self._on_phase(EndedPhase(phase, _part_of(parent), parent, SpanKind.INTERNAL, begin, now, failed=False))

    def action(self, kind: str) -> AbstractContextManager[object]:
        """Return a context that is an action of a stream."""
        return _SpanContext(self._tracer, f"action {kind}")

    def answered(self, *, model: str, version: str, timings: Timings) -> None:  # noqa: ARG002
        """Note which version of which model answered."""
        _name_model(model, version)

    def segmented(self, *, model: str, version: str, timings: Timings) -> None:  # noqa: ARG002
        """Note which version of which model segmented an image."""
        _name_model(model, version)


class _SpanContext:
    """A context that is a span. OpenTelemetry's own would quote exceptions, and takes twice the time."""

    def __init__(self, tracer: Tracer, name: str) -> None:
        self._tracer = tracer
        self._name = name

    def __enter__(self) -> None:
        self._span = self._tracer.start_span(self._name)
        self._token = context.attach(trace.set_span_in_context(self._span))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, frames: TracebackType | None
    ) -> None:
        context.detach(self._token)
        if kind is not None:
            self._span.set_status(StatusCode.ERROR)
        self._span.end()


class _PhaseContext:
    """A context that is a phase."""

    def __init__(self, name: Phase, on_phase: Callable[[EndedPhase], None]) -> None:
        self._name = name
        self._on_phase = on_phase
        self._token: Token[context.Context] | None = None

    def __enter__(self) -> None:
        self._parent = trace.get_current_span().get_span_context()
        self._own = _part_of(self._parent)
        if self._name == "inference":
            # Triton's spans are its children.
            self._token = context.attach(trace.set_span_in_context(trace.NonRecordingSpan(self._own)))
        self._start = time.time_ns()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, frames: TracebackType | None
    ) -> None:
        end = time.time_ns()
        if self._token is not None:
            context.detach(self._token)
        span_kind = SpanKind.INTERNAL if self._token is None else SpanKind.CLIENT
        failed = kind is not None
        self._on_phase(EndedPhase(self._name, self._own, self._parent, span_kind, self._start, end, failed))


def _part_of(parent: SpanContext) -> SpanContext:
    """Ids of a new span in the trace of its parent."""
    # Zero would be no id.
    span = random.getrandbits(64) or 1
    return SpanContext(parent.trace_id, span, False, parent.trace_flags, parent.trace_state)


def _name_model(model: str, version: str) -> None:
    trace.get_current_span().set_attributes({"sixpoint.model": model, "sixpoint.version": version})
