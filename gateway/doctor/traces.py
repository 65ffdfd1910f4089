"""Checks of the collector for traces."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from urllib.parse import urlsplit

from gateway.observability.trace_export import check_installed
from gateway.settings import Settings
from sixpoint.cli.doctor.connection import Finding
from sixpoint.errors import FailedPrecondition

__all__ = ["check_traces"]

_TIMEOUT_S = 5.0
_PORTS = {"http": 80, "https": 443}


def check_traces(settings: Settings) -> Iterator[Finding]:
    """Check that traces can be sent, if they are on."""
    if not settings.traces_url:
        return
    try:
        check_installed()
    except FailedPrecondition as error:
        yield Finding("traces", False, error.message, "The gateway does not start without it.")
        return
    url = urlsplit(settings.traces_url)
    host, port = url.hostname or "", url.port or _PORTS[url.scheme]
    try:
        socket.create_connection((host, port), timeout=_TIMEOUT_S).close()
    except OSError:
        advice = "Prompts are answered all the same. Look at the collector, and at SIXPOINT_TRACES_URL."
        yield Finding("traces", True, f"the collector at {host}:{port} cannot be reached", advice)
    else:
        yield Finding("traces", True, f"something listens at {host}:{port} (SIXPOINT_TRACES_URL)")
