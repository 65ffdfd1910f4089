"""A gateway with an HTTP port, and what ``make viewers`` says at its end."""

from __future__ import annotations

import os

import pytest

from tests.gateway.http.conftest import http_gateway, site
from tests.viewers.support.table import VIEWER, viewer_table

__all__ = ["http_gateway", "site"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let each report name its viewer."""
    for item in items:
        if mark := item.get_closest_marker(VIEWER):
            item.user_properties.append((VIEWER, mark.args[0]))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say which viewers passed, and why others were skipped."""
    if not os.environ.get("VIEWERS"):
        return
    reports = [
        each for kind in ("passed", "failed", "error", "skipped", "") for each in terminalreporter.getreports(kind)
    ]
    terminalreporter.section("viewers")
    for line in viewer_table(report for report in reports if isinstance(report, pytest.TestReport)):
        terminalreporter.write_line(line)
