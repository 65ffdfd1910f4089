"""Outcomes of attacks as one table."""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Table

from benchmarks.attacks.measurement import REST_FACTOR, Outcome

__all__ = ["as_table", "missed"]

# A polite caller beside n greedy ones keeps its share, of which a fifth may go to measuring and switching.
_SHARE = 0.8
_SILENCE_MS = 1000.0
# Nothing else is answered meanwhile.
_STALL_MS = 50.0

_COLUMNS = (
    "attack",
    "callers",
    "silent, ms",
    "stall, its CPU, ms",
    "memory, MiB",
    "rest / idle",
    "polite rate",
    "polite p95, ms",
    "write, ms",
    "upload, ms",
    "database / sent",
    "hostile calls",
)


def missed(outcome: Outcome) -> list[str]:
    """List the limits that an outcome does not keep."""
    share = _SHARE / (outcome.callers + 1)
    limits = {
        "the gateway ended": not outcome.alive,
        f"health silent for more than {_SILENCE_MS:g} ms": outcome.silence_ms > _SILENCE_MS,
        f"the event loop stalled for more than {_STALL_MS:g} ms": outcome.stall_ms > _STALL_MS,
        f"memory after a minute above {REST_FACTOR} x idle": outcome.rest_mib > REST_FACTOR * outcome.idle_mib,
        f"polite caller below {share:.2g} of its rate": outcome.polite_ratio < share,
    }
    return [limit for limit, broken in limits.items() if broken]


def as_table(outcomes: Sequence[Outcome]) -> Table:
    """Format outcomes; rows that miss a limit are marked."""
    table = Table(*_COLUMNS, padding=(0, 0))
    for outcome in outcomes:
        table.add_row(*_cells(outcome))
    return table


def _cells(outcome: Outcome) -> list[str]:
    codes = sorted(outcome.codes.items(), key=lambda item: -item[1])
    polite = "none" if outcome.polite_p95_ms is None else f"{outcome.polite_p95_ms:.0f}"
    refused = f", {outcome.uploads_refused} refused" if outcome.uploads_refused else ""
    return [
        f"{outcome.attack}{' !' if missed(outcome) else ''}",
        str(outcome.callers),
        f"{outcome.silence_ms:.0f}",
        f"{outcome.stall_ms:.0f}, {outcome.stall_cpu_ms:.0f}",
        f"{outcome.idle_mib:.0f} > {outcome.peak_mib:.0f} > {outcome.rest_mib:.0f} ({outcome.rest_seconds:.0f} s)",
        f"{outcome.rest_mib / outcome.idle_mib:.2f}",
        f"{outcome.polite_ratio:.2f}",
        f"{polite} / {outcome.solo_p95_ms:.0f}",
        f"{outcome.writer_ms:.0f}",
        f"{outcome.upload_ms:.0f}{refused}",
        "" if outcome.database_ratio is None else f"{outcome.database_ratio:.2g}",
        ", ".join(f"{count} {code}" for code, count in codes[:3]),
    ]
