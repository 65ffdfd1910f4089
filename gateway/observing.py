"""Who observes the gateway's calls: its metrics, and its traces where they are on."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass

from gateway.core.runtime.observer import Observer, Observers
from gateway.grpc.observation import ObservationInterceptor
from gateway.http.requests.observation import CallObserver
from gateway.observability.metrics import Metrics
from gateway.observability.trace_export import exporting
from gateway.observability.tracing import CallTracer
from gateway.settings import Settings

__all__ = ["Observation", "observing"]

# Of the time to drain, for a collector that does not answer.
_PATIENCE_SECONDS = 3.0


@dataclass(frozen=True)
class Observation:
    """What observes calls.

    Attributes:
        interceptor: Observes those of gRPC from outside.
        http: Observes those of HTTP from outside.
        observer: Is told of finished work.
    """

    interceptor: ObservationInterceptor
    http: CallObserver
    observer: Observer


@contextlib.asynccontextmanager
async def observing(settings: Settings, metrics: Metrics) -> AsyncIterator[Observation]:
    """Yield what observes calls. At the end, the last spans are sent.

    Raises:
        FailedPrecondition: Traces are on, and OpenTelemetry's SDK is not installed.
    """
    if not settings.traces_url:
        yield Observation(*_from_outside(metrics, None), metrics)
        return
    async with exporting(
        settings.traces_url,
        ratio=settings.traces_ratio,
        service=settings.traces_service,
        on_spans=metrics.traced,
        patience=_PATIENCE_SECONDS,
    ) as tracer:
        yield Observation(*_from_outside(metrics, tracer), Observers(metrics, tracer))


def _from_outside(metrics: Metrics, tracer: CallTracer | None) -> tuple[ObservationInterceptor, CallObserver]:
    return (
        ObservationInterceptor(metrics.transferred, tracer=tracer),
        CallObserver(on_end=metrics.called, on_bytes=metrics.transferred, tracer=tracer),
    )
