"""Alert rules for Prometheus, over the gateway's metrics."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["ALERTS", "Alert", "alert_rules"]


@dataclass(frozen=True)
class Alert:
    """One rule.

    Attributes:
        name: Name of the alert.
        expression: PromQL that has a result while something is wrong.
        minutes: Minutes for which it must have one.
        severity: ``critical`` if nobody can work, else ``warning``.
        summary: What is wrong, in one sentence.
        advice: What to do.
    """

    name: str
    expression: str
    minutes: int
    severity: str
    summary: str
    advice: str


_INSTANCE = "{{ $labels.instance }}"

ALERTS = (
    Alert(
        "SixpointDown",
        'up{job="sixpoint"} == 0',
        2,
        "critical",
        f"The gateway {_INSTANCE} does not answer.",
        "Look whether the process runs, and at its log.",
    ),
    Alert(
        "SixpointStoreAway",
        "sixpoint_store_up == 0",
        1,
        "critical",
        f"The gateway {_INSTANCE} cannot reach its {{{{ $labels.store }}}}.",
        "Sessions and images cannot be read or stored until it is back: check the store and the network in between.",
    ),
    Alert(
        "SixpointTritonAway",
        "sixpoint_triton_up == 0",
        2,
        "warning",
        f"The gateway {_INSTANCE} cannot reach Triton {{{{ $labels.triton }}}}.",
        "Look at Triton's log. Without another Triton no prompt is answered.",
    ),
    Alert(
        "SixpointServesNoModel",
        "sixpoint_build_info unless on (instance) sixpoint_model_served",
        5,
        "critical",
        f"The gateway {_INSTANCE} has no model.",
        "Look at the gateway's log: it names the models that it refuses, and why.",
    ),
    Alert(
        "SixpointCallsFail",
        'sum by (instance) (rate(sixpoint_calls_total{code=~"INTERNAL|UNKNOWN|UNAVAILABLE|DATA_LOSS"}[5m]))'
        " / sum by (instance) (rate(sixpoint_calls_total[5m])) > 0.05",
        5,
        "critical",
        f"More than 5 % of the calls to {_INSTANCE} fail on the side of the server.",
        "Look at the gateway's log: a line `unexpected exception` is a fault to report.",
    ),
    Alert(
        "SixpointPromptsSlow",
        "histogram_quantile(0.95, sum by (instance, le) "
        '(rate(sixpoint_call_seconds_bucket{method="AnnotationService/Annotate"}[10m]))) > 5',
        10,
        "warning",
        f"5 % of the prompts at {_INSTANCE} take longer than 5 s.",
        "The phases of prompts tell where the time goes: `inference` asks for more Tritons, `queue` for more workers.",
    ),
    Alert(
        "SixpointAuthenticationFails",
        "sum by (instance) (rate(sixpoint_failed_authentications_total[5m])) > 1",
        10,
        "warning",
        f"At {_INSTANCE}, more than one call a second fails to prove who makes it.",
        "Somebody guesses, or a program has a token that ended: the log names the peer and the kind of failure.",
    ),
    Alert(
        "SixpointCallsWait",
        "sum by (instance, kind) (sixpoint_waiting_calls) > 20",
        10,
        "warning",
        f"At {_INSTANCE}, more than 20 calls wait ({{{{ $labels.kind }}}}).",
        "`inference`: more Tritons, or more instances of the model; `prompt` and `segmentation`: more memory for them.",
    ),
    Alert(
        "SixpointJobsWait",
        'max(sixpoint_jobs{state="waiting"}) > 0 and max(sixpoint_jobs{state="running"}) == 0',
        15,
        "warning",
        "Jobs wait, and no worker runs one.",
        "Look whether workers run (`gateway worker`, `SIXPOINT_JOB_WORKERS`, `worker.enabled`), and at their log.",
    ),
    Alert(
        "SixpointTracesLost",
        'sum by (instance) (rate(sixpoint_trace_spans_total{outcome!="exported"}[10m])) > 0',
        15,
        "warning",
        f"Traces of {_INSTANCE} do not reach their collector.",
        "Look at the collector, the network in between, and SIXPOINT_TRACES_URL. Prompts are answered all the same.",
    ),
    Alert(
        "SixpointNearlyFull",
        "sixpoint_stored / on (instance, what) sixpoint_stored_limit > 0.9",
        15,
        "warning",
        f"At {_INSTANCE}, {{{{ $labels.what }}}} are at more than 90 % of their limit.",
        "Raise SIXPOINT_DISK_BYTES or SIXPOINT_MAX_SESSIONS, or let images and sessions end earlier.",
    ),
    Alert(
        "SixpointCertificateExpiresSoon",
        "sixpoint_certificate_expiry_seconds < 14 * 86400",
        10,
        "warning",
        f"The certificate of {_INSTANCE} expires in less than 14 days.",
        "Renew it. The gateway reads the files again by itself; its log says why, if it does not use them.",
    ),
    Alert(
        "SixpointCertificateExpired",
        "sixpoint_certificate_expiry_seconds <= 0",
        0,
        "critical",
        f"The certificate of {_INSTANCE} has expired: clients refuse it.",
        "Renew it. The gateway reads the files again by itself; its log says why, if it does not use them.",
    ),
)
"""All alerts. They expect the gateways in a Prometheus job with the name ``sixpoint``."""


def alert_rules() -> dict[str, object]:
    """Return the alerts as a rule file of Prometheus; JSON of it is valid YAML."""
    rules = [
        {
            "alert": alert.name,
            "expr": alert.expression,
            "for": f"{alert.minutes}m",
            "labels": {"severity": alert.severity},
            "annotations": {"summary": alert.summary, "description": alert.advice},
        }
        for alert in ALERTS
    ]
    return {"groups": [{"name": "sixpoint", "rules": rules}]}
