"""Settings of what is seen of the gateway from outside."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from gateway.observability.logs import LogFormat
from gateway.settings.part import SettingsPart

__all__ = ["ObservabilitySettings"]


class ObservabilitySettings(SettingsPart):
    """The port for operators, and the log."""

    status_port: int | None = Field(default=None, ge=0, le=65535)
    """HTTP port for /livez, /readyz and /metrics (Prometheus), without TLS; none by default."""
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    """Lowest severity that is logged."""
    log_format: LogFormat = "auto"
    """How the log is written to stderr: json (an object per line), text, or auto (text on a terminal, else json)."""
