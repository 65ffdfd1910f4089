"""The table at the end of ``make viewers``: which viewers passed, and why others were skipped."""

from __future__ import annotations

import textwrap
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field

import pytest

__all__ = ["VIEWER", "viewer_table"]

VIEWER = "viewer"
"""Name of the mark, and of the property of a report, that name a test's viewer."""

_WIDTH = 120


@dataclass
class _Row:
    counts: Counter[str] = field(default_factory=Counter)
    reasons: dict[str, None] = field(default_factory=dict)
    seconds: float = 0.0

    def add(self, report: pytest.TestReport) -> None:
        self.seconds += report.duration
        if report.skipped:
            self.counts["skipped"] += 1
            reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
            self.reasons[reason.removeprefix("Skipped: ")] = None
        elif report.failed:
            self.counts["failed"] += 1
            self.reasons[report.nodeid.rpartition("/")[2]] = None
        elif report.when == "call":
            self.counts["passed"] += 1

    def __str__(self) -> str:
        counts = ", ".join(
            f"{self.counts[name]} {name}" for name in ("passed", "failed", "skipped") if self.counts[name]
        )
        return f"{counts} in {self.seconds:.0f} s" + "".join(f"; {reason}" for reason in self.reasons)


def viewer_table(reports: Iterable[pytest.TestReport]) -> list[str]:
    """The lines of the table, in the order in which the tests ran.

    Args:
        reports: Reports of all phases of tests; those without a viewer do not count.
    """
    rows = defaultdict[str, _Row](_Row)
    for report in sorted(reports, key=lambda report: report.start):
        for name, value in report.user_properties:
            if name == VIEWER:
                rows[str(value)].add(report)
    wide = max(map(len, rows), default=0) + 2
    indent = " " * wide
    return [
        line
        for name, row in rows.items()
        for line in textwrap.wrap(
            f"{name:{wide}}{row}",
            _WIDTH,
            subsequent_indent=indent,
            break_long_words=False,
            break_on_hyphens=False,
        )
    ]
