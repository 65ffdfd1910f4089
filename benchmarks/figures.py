"""Measured figures, with their limits, as Markdown and JSON."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

__all__ = ["Figure", "as_json", "as_markdown", "p50", "p95"]


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One measured figure.

    Attributes:
        name: Name of the measurement.
        value: Measured value.
        unit: Unit of the value, e.g. "ms"; empty for ratios and counts.
        maximum: Upper limit that the value should keep; None: no such limit.
        minimum: Lower limit that the value should keep; None: no such limit.
    """

    name: str
    value: float
    unit: str = ""
    maximum: float | None = None
    minimum: float | None = None

    @property
    def met(self) -> bool | None:
        """Whether the value keeps its limits; None without limits."""
        if self.maximum is None and self.minimum is None:
            return None
        return (self.maximum is None or self.value <= self.maximum) and (
            self.minimum is None or self.value >= self.minimum
        )

    @property
    def aim(self) -> str:
        """Limits in words; empty without limits."""
        limits = [("at most", self.maximum), ("at least", self.minimum)]
        return ", ".join(f"{word} {_with_unit(limit, self.unit)}" for word, limit in limits if limit is not None)


def as_markdown(figures: Sequence[Figure]) -> str:
    """Format figures as a table: what, aim, got."""
    rows = [
        f"| {figure.name} | {figure.aim} | {_with_unit(figure.value, figure.unit)}"
        f"{' (missed)' if figure.met is False else ''} |"
        for figure in figures
    ]
    return "\n".join(["| what | aim | got |", "|---|---|---|", *rows])


def as_json(figures: Sequence[Figure]) -> list[dict[str, Any]]:
    """Convert figures to JSON."""
    return [
        {
            "what": figure.name,
            "got": figure.value,
            "unit": figure.unit,
            "most": figure.maximum,
            "least": figure.minimum,
            "met": figure.met,
        }
        for figure in figures
    ]


def p50(values: Sequence[float]) -> float:
    """Compute the median."""
    return float(np.median(values))


def p95(values: Sequence[float]) -> float:
    """Compute the 95th percentile, interpolated."""
    return float(np.percentile(values, 95))


def _with_unit(value: float, unit: str) -> str:
    return f"{value:.4g} {unit}".rstrip()
