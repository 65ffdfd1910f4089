"""Send spans to a collector of OpenTelemetry, in the background, within bounds of memory and time."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import logging
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any, Literal

from opentelemetry.trace import Status, StatusCode

import sixpoint
from gateway.observability.tracing import CallTracer, EndedPhase
from sixpoint.errors import FailedPrecondition

__all__ = ["Outcome", "check_installed", "exporting"]

_log = logging.getLogger(__name__)

Outcome = Literal["exported", "failed", "dropped"]
"""What became of spans: a collector took them, it did not, or too many waited for it."""

# A span takes about 2 KB.
_MAX_WAITING, _BATCH = 4096, 512
_EXPORT_SECONDS = 5.0
_SCOPE = "sixpoint.gateway"


def check_installed() -> None:
    """Check that spans can be sent.

    Raises:
        FailedPrecondition: OpenTelemetry's SDK is not installed.
    """
    try:
        importlib.import_module("opentelemetry.exporter.otlp.proto.http.trace_exporter")
        importlib.import_module("opentelemetry.sdk.trace")
    except ModuleNotFoundError as error:
        raise FailedPrecondition(
            f"SIXPOINT_TRACES_URL is set, but {error.name} is not installed: pip install 'sixpoint[gateway,tracing]'"
        ) from None


@contextlib.asynccontextmanager
async def exporting(
    url: str, *, ratio: float, service: str, on_spans: Callable[[Outcome, int], None], patience: float
) -> AsyncIterator[CallTracer]:
    """Yield a tracer whose spans are sent to a collector; at the end, send what waits.

    Args:
        url: URL of the collector's endpoint for traces, OTLP over HTTP.
        ratio: Part of the traces that are sent, of those that begin here; others are sent if the caller sends them.
        service: Name of this service.
        on_spans: Function called with what became of spans, and their number; on any thread.
        patience: Seconds for which to wait at the end for the collector.

    Raises:
        FailedPrecondition: OpenTelemetry's SDK is not installed.
    """
    check_installed()
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor
    from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased

    # It would log for each batch, and quote the collector; what matters is counted, and logged below.
    logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)
    export = _Export(OTLPSpanExporter(endpoint=url, timeout=_EXPORT_SECONDS), on_spans)
    processor = BatchSpanProcessor(
        export.as_exporter(),
        max_queue_size=_MAX_WAITING,
        max_export_batch_size=_BATCH,
    )
    provider = TracerProvider(
        sampler=ParentBased(TraceIdRatioBased(ratio)),
        resource=Resource.create({"service.name": service, "service.version": sixpoint.__version__}),
        # It would wait for the collector for half a minute.
        shutdown_on_exit=False,
    )
    queue = _BoundedQueue(processor, export)
    provider.add_span_processor(queue.as_processor())
    try:
        yield CallTracer(provider.get_tracer(_SCOPE, sixpoint.__version__), _takes_phases(queue, provider.resource))
    finally:
        # A daemon, so that a collector that does not answer does not keep the process.
        ending = threading.Thread(target=provider.shutdown, name="traces", daemon=True)
        ending.start()
        await asyncio.to_thread(ending.join, patience)
        if ending.is_alive():
            _log.warning("the trace collector does not answer: the last spans are lost")


def _takes_phases(queue: _BoundedQueue, resource: Any) -> Callable[[EndedPhase], None]:
    """Return a function that makes a span of a phase, for the queue."""
    from opentelemetry.sdk.trace import ReadableSpan
    from opentelemetry.sdk.util.instrumentation import InstrumentationScope

    scope = InstrumentationScope(_SCOPE, sixpoint.__version__)
    statuses = {False: Status(), True: Status(StatusCode.ERROR)}

    def take(phase: EndedPhase) -> None:
        span = ReadableSpan(
            phase.name,
            phase.context,
            parent=phase.parent,
            resource=resource,
            kind=phase.kind,
            status=statuses[phase.failed],
            start_time=phase.start,
            end_time=phase.end,
            instrumentation_scope=scope,
        )
        queue.on_end(span)

    return take


class _Export:
    """OpenTelemetry's exporter; counts what becomes of spans.

    Attributes:
        waiting: Number of spans that wait for the exporter.
        lock: Guards ``waiting``.
    """

    def __init__(self, exporter: Any, on_spans: Callable[[Outcome, int], None]) -> None:
        self.on_spans = on_spans
        self.waiting = 0
        self.lock = threading.Lock()
        self._exporter = exporter
        self._fails = False

    def as_exporter(self) -> Any:
        """Itself: the class to derive from is only there where the SDK is."""
        return self

    def export(self, spans: Sequence[Any]) -> Any:
        """Send spans."""
        with self.lock:
            self.waiting -= len(spans)
        result = self._exporter.export(spans)
        fails = result.name != "SUCCESS"
        self.on_spans("failed" if fails else "exported", len(spans))
        if fails != self._fails:
            self._fails = fails
            if fails:
                _log.warning("the trace collector cannot be reached, or refuses spans (SIXPOINT_TRACES_URL)")
            else:
                _log.info("the trace collector takes spans again")
        return result

    def shutdown(self) -> None:
        """Give up."""
        self._exporter.shutdown()

    def force_flush(self, timeout_millis: int = 0) -> bool:  # noqa: ARG002
        """Do nothing: it holds no spans."""
        return True


class _BoundedQueue:
    """OpenTelemetry's processor of spans that have ended; refuses and counts those for which there is no room."""

    def __init__(self, processor: Any, export: _Export) -> None:
        self._processor = processor
        self._export = export

    def as_processor(self) -> Any:
        """Itself: the class to derive from is only there where the SDK is."""
        return self

    def __getattr__(self, name: str) -> Any:
        return getattr(self._processor, name)

    def on_end(self, span: Any) -> None:
        """Take a span, if it is one of those to send."""
        if not span.context.trace_flags.sampled:
            return
        with self._export.lock:
            full = self._export.waiting >= _MAX_WAITING
            self._export.waiting += not full
        if full:
            self._export.on_spans("dropped", 1)
        else:
            self._processor.on_end(span)
