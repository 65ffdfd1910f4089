"""Metrics for Prometheus: calls, the phases of prompts, and what the gateway holds at the moment.

Labels have few values: RPC methods, status codes, models, versions, Tritons. None names an owner, a session or an
image.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields
from typing import get_args

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

import sixpoint
from gateway.observability.trace_export import Outcome
from sixpoint.mask import Timings

__all__ = ["LiveGauge", "Metrics"]

# Calls take a millisecond to minutes; phases less.
_CALL_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800)
_PHASE_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 60, 600)
# A gateway that runs for a year sees a new version every few days.
_MAX_VERSIONS = 200
_PHASES = tuple(field.name for field in fields(Timings))


@dataclass(frozen=True)
class LiveGauge:
    """A gauge that is read when Prometheus asks.

    Attributes:
        name: Name of the metric.
        text: What it counts, in one sentence.
        labels: Names of its labels.
        read: Function that returns the values, keyed by the labels' values; it must return at once.
    """

    name: str
    text: str
    labels: tuple[str, ...]
    read: Callable[[], Mapping[tuple[str, ...], float]]


class Metrics:
    """The metrics of one gateway; implements the core's :class:`~gateway.core.runtime.observer.Observer`."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._versions: set[tuple[str, str]] = set()
        ProcessCollector(registry=self._registry)
        self._calls = self._counter("sixpoint_calls", "Calls that ended.", "method", "code")
        self._call_seconds = self._histogram("sixpoint_call_seconds", "Time of a call.", _CALL_BUCKETS, "method")
        self._answers = self._counter("sixpoint_answers", "Calls with prompts that were answered.", "model", "version")
        self._segmentations = self._counter("sixpoint_segmentations", "Images segmented.", "model", "version")
        self._prompt_seconds = self._histogram(
            "sixpoint_prompt_phase_seconds", "Time of a phase of a prompt.", _PHASE_BUCKETS, "phase"
        )
        self._segmentation_seconds = self._histogram(
            "sixpoint_segmentation_phase_seconds", "Time of a phase of a segmentation.", _PHASE_BUCKETS, "phase"
        )
        self._failed_authentications = self._counter(
            "sixpoint_failed_authentications", "Calls whose caller could not be identified.", "kind"
        )
        self._received = self._counter(
            "sixpoint_received_bytes", "Bytes of the messages, or bodies, of callers.", "method"
        )
        self._sent = self._counter("sixpoint_sent_bytes", "Bytes of the answers.", "method")
        self._spans = self._counter("sixpoint_trace_spans", "Spans for the trace collector.", "outcome")
        for outcome in get_args(Outcome):
            # From 0 on, since Prometheus does not see the first increase of a counter that is new.
            self._spans.labels(outcome)
        build = Gauge("sixpoint_build_info", "Version of the gateway.", ("version",), registry=self._registry)
        build.labels(sixpoint.__version__).set(1)

    def watch(self, gauges: Iterable[LiveGauge]) -> None:
        """Add gauges that are read when Prometheus asks."""
        self._registry.register(_Live(tuple(gauges)))

    def called(self, method: str, code: str, seconds: float) -> None:
        """Note that a call ended.

        Args:
            method: Full name of the method, such as /sixpoint.v1.ModelService/ListModels, or route of HTTP.
            code: Name of its status code.
            seconds: Seconds that it took.
        """
        short = method.removeprefix("/sixpoint.v1.")
        self._calls.labels(short, code).inc()
        self._call_seconds.labels(short).observe(seconds)

    def authentication_failed(self, kind: str) -> None:
        """Note that a caller could not be identified.

        Args:
            kind: Why, one of :data:`~gateway.authentication.refusal.RefusalKind`.
        """
        self._failed_authentications.labels(kind).inc()

    def transferred(self, method: str, received: int, sent: int) -> None:
        """Note a message of a call.

        Args:
            method: Full name of the method, such as /sixpoint.v1.ImageService/UploadImage, or route of HTTP.
            received: Bytes that came from the caller.
            sent: Bytes that were sent to it.
        """
        counter, count = (self._received, received) if received else (self._sent, sent)
        counter.labels(method.removeprefix("/sixpoint.v1.")).inc(count)

    def traced(self, outcome: Outcome, spans: int) -> None:
        """Note what became of spans. Called on any thread."""
        self._spans.labels(outcome).inc(spans)

    def answered(self, *, model: str, version: str, timings: Timings) -> None:
        """Note that prompts were answered."""
        self._answers.labels(*self._version(model, version)).inc()
        _observe(self._prompt_seconds, timings)

    def segmented(self, *, model: str, version: str, timings: Timings) -> None:
        """Note that a whole image was segmented."""
        self._segmentations.labels(*self._version(model, version)).inc()
        _observe(self._segmentation_seconds, timings)

    def render(self, accept: str) -> tuple[bytes, str]:
        """Return all metrics as text, and its media type.

        Args:
            accept: Media types that the reader takes, as in the HTTP header Accept.
        """
        try:
            encode, media_type = choose_encoder(accept)
        except (TypeError, ValueError):
            # It trips over versions that are no numbers.
            encode, media_type = choose_encoder("")
        return encode(self._registry), media_type

    def _version(self, model: str, version: str) -> tuple[str, str]:
        """Labels of a version; those of versions that come late are "other", so that series do not grow for ever."""
        if (model, version) not in self._versions and len(self._versions) >= _MAX_VERSIONS:
            return "other", "other"
        self._versions.add((model, version))
        return model, version

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(name, text, labels, registry=self._registry)

    def _histogram(self, name: str, text: str, buckets: tuple[float, ...], *labels: str) -> Histogram:
        return Histogram(name, text, labels, buckets=buckets, registry=self._registry)


class _Live(Collector):
    def __init__(self, gauges: tuple[LiveGauge, ...]) -> None:
        self._gauges = gauges

    def collect(self) -> Iterable[GaugeMetricFamily]:
        for gauge in self._gauges:
            family = GaugeMetricFamily(gauge.name, gauge.text, labels=gauge.labels)
            for values, number in gauge.read().items():
                family.add_metric(values, number)
            yield family


def _observe(histogram: Histogram, timings: Timings) -> None:
    for phase in _PHASES:
        histogram.labels(phase).observe(getattr(timings, phase).total_seconds())
