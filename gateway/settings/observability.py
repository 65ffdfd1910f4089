"""Settings of what is seen of the gateway from outside."""

from __future__ import annotations

from typing import Literal
from urllib.parse import urlsplit

from pydantic import Field, field_validator

from gateway.observability.logs import LogFormat
from gateway.settings.part import SettingsPart

__all__ = ["ObservabilitySettings"]


class ObservabilitySettings(SettingsPart):
    """The port for operators, the log, and traces."""

    status_port: int | None = Field(default=None, ge=0, le=65535)
    """HTTP port for /livez, /readyz and /metrics (Prometheus), without TLS; none by default."""
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    """Lowest severity that is logged; of libraries, at least WARNING, without what their messages quote."""
    log_format: LogFormat = "auto"
    """How the log is written to stderr: json (an object per line), text, or auto (text on a terminal, else json)."""
    traces_url: str = ""
    """Collector for traces, OTLP over HTTP, such as http://collector:4318; none by default."""
    traces_ratio: float = Field(default=1.0, ge=0, le=1)
    """Part of the traces that are sent, of those that begin in the gateway; callers decide on those they begin."""
    traces_service: str = Field(default="sixpoint-gateway", min_length=1)
    """Name of the gateway in traces."""

    @field_validator("traces_url")
    @classmethod
    def _complete_traces_url(cls, text: str) -> str:
        """Add OTLP's own path to a URL without one."""
        if not text:
            return text
        parts = urlsplit(text)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("a URL is expected, such as http://collector:4318")
        if parts.username or parts.query:
            raise ValueError(
                "a URL without a name, a password or a query is expected, since others can read it in the command line "
                "of a local Triton; headers for the collector are set with OTEL_EXPORTER_OTLP_HEADERS"
            )
        return parts._replace(path="/v1/traces").geturl() if parts.path in ("", "/") else text
