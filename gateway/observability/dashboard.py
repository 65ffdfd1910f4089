"""A Grafana dashboard over the gateway's metrics."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["PANELS", "Panel", "dashboard"]


@dataclass(frozen=True)
class Panel:
    """One panel.

    Attributes:
        title: Heading above the curves.
        unit: Grafana's name of the unit.
        queries: PromQL expressions, each with its legend.
        stacked: Whether the curves add up.
    """

    title: str
    unit: str
    queries: tuple[tuple[str, str], ...]
    stacked: bool = False


_JOB = 'job="sixpoint"'
_FAILURES = f"rate(sixpoint_failed_authentications_total{{{_JOB}}}[$__rate_interval])"
_ANNOTATE = f'{_JOB}, method="AnnotationService/Annotate"'


def _quantile(share: float) -> str:
    buckets = f"rate(sixpoint_call_seconds_bucket{{{_ANNOTATE}}}[$__rate_interval])"
    return f"histogram_quantile({share}, sum by (le) ({buckets}))"


def _mean_phase(kind: str) -> str:
    name = f"sixpoint_{kind}_phase_seconds"
    return (
        f"sum by (phase) (rate({name}_sum{{{_JOB}}}[$__rate_interval]))"
        f" / sum by (phase) (rate({name}_count{{{_JOB}}}[$__rate_interval]))"
    )


PANELS = (
    Panel(
        "Calls per second",
        "reqps",
        ((f"sum by (method) (rate(sixpoint_calls_total{{{_JOB}}}[$__rate_interval]))", "{{method}}"),),
    ),
    Panel(
        "Calls per second by status",
        "reqps",
        ((f"sum by (code) (rate(sixpoint_calls_total{{{_JOB}}}[$__rate_interval]))", "{{code}}"),),
    ),
    Panel("Time of a prompt", "s", tuple((_quantile(share), f"{share:.0%}") for share in (0.5, 0.95, 0.99))),
    Panel("Mean time of a prompt by phase", "s", ((_mean_phase("prompt"), "{{phase}}"),), stacked=True),
    Panel("Mean time of a segmentation by phase", "s", ((_mean_phase("segmentation"), "{{phase}}"),), stacked=True),
    Panel(
        "Answers per second by version",
        "reqps",
        (
            (
                f"sum by (model, version) (rate(sixpoint_answers_total{{{_JOB}}}[$__rate_interval]))",
                "{{model}} {{version}}",
            ),
        ),
    ),
    Panel(
        "Calls that run or wait",
        "short",
        ((f"sixpoint_active_calls{{{_JOB}}}", "{{instance}} {{kind}}"),),
    ),
    Panel(
        "Calls that wait for memory or their turn",
        "short",
        ((f"sixpoint_waiting_calls{{{_JOB}}}", "{{instance}} {{kind}}"),),
    ),
    Panel("Memory reserved for them", "bytes", ((f"sixpoint_reserved_bytes{{{_JOB}}}", "{{instance}} {{kind}}"),)),
    Panel(
        "Calls that a Triton has not answered",
        "short",
        ((f"sum by (triton) (sixpoint_triton_outstanding_calls{{{_JOB}}})", "{{triton}}"),),
    ),
    Panel(
        "Reachable",
        "short",
        (
            (f"min by (triton) (sixpoint_triton_up{{{_JOB}}})", "Triton {{triton}}"),
            (f"min by (store) (sixpoint_store_up{{{_JOB}}})", "{{store}}"),
        ),
    ),
    Panel(
        "Stored, as a part of the limit",
        "percentunit",
        (
            (
                f"sixpoint_stored{{{_JOB}}} / sixpoint_stored_limit{{{_JOB}}}",
                "{{instance}} {{what}}",
            ),
        ),
    ),
    Panel(
        "Bytes per second from callers",
        "Bps",
        ((f"sum by (method) (rate(sixpoint_received_bytes_total{{{_JOB}}}[$__rate_interval]))", "{{method}}"),),
    ),
    Panel(
        "Bytes per second to callers",
        "Bps",
        ((f"sum by (method) (rate(sixpoint_sent_bytes_total{{{_JOB}}}[$__rate_interval]))", "{{method}}"),),
    ),
    Panel(
        "Callers per second that do not prove who they are",
        "reqps",
        ((f"sum by (kind) ({_FAILURES}) or vector(0)", "{{kind}}"),),
    ),
    Panel(
        "Spans of traces per second",
        "ops",
        ((f"sum by (outcome) (rate(sixpoint_trace_spans_total{{{_JOB}}}[$__rate_interval]))", "{{outcome}}"),),
    ),
    Panel("Memory of the process", "bytes", ((f"process_resident_memory_bytes{{{_JOB}}}", "{{instance}}"),)),
)
"""All panels."""

_WIDTH, _HEIGHT = 12, 8
_SOURCE = {"type": "prometheus", "uid": "${source}"}


def dashboard() -> dict[str, object]:
    """Return the dashboard as Grafana imports it (schema 39: Grafana 10.4 and newer)."""
    return {
        "uid": "sixpoint",
        "title": "sixpoint",
        "schemaVersion": 39,
        "refresh": "30s",
        "time": {"from": "now-3h", "to": "now"},
        "templating": {
            "list": [{"name": "source", "label": "Prometheus", "type": "datasource", "query": "prometheus"}]
        },
        "panels": [_panel(number, panel) for number, panel in enumerate(PANELS)],
    }


def _panel(number: int, panel: Panel) -> dict[str, object]:
    stacking = {"mode": "normal" if panel.stacked else "none", "group": "A"}
    return {
        "id": number + 1,
        "type": "timeseries",
        "title": panel.title,
        "datasource": _SOURCE,
        "gridPos": {"x": number % 2 * _WIDTH, "y": number // 2 * _HEIGHT, "w": _WIDTH, "h": _HEIGHT},
        "fieldConfig": {
            "defaults": {
                "unit": panel.unit,
                "min": 0,
                "custom": {"fillOpacity": 30 if panel.stacked else 0, "stacking": stacking},
            },
            "overrides": [],
        },
        "targets": [
            {"refId": chr(ord("A") + place), "datasource": _SOURCE, "expr": expression, "legendFormat": legend}
            for place, (expression, legend) in enumerate(panel.queries)
        ],
    }
