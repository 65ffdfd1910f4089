"""What a benchmark found, in one form: figures, with the aim where there is one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

__all__ = ["Figure", "as_json", "as_markdown", "p50", "p95"]


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One figure.

    Attributes:
        what: What was measured.
        got: The value.
        unit: Of the value, e.g. "ms"; empty for ratios and counts.
        most: It should be no more than this; None: no such aim.
        least: It should be no less than this; None: no such aim.
    """

    what: str
    got: float
    unit: str = ""
    most: float | None = None
    least: float | None = None

    @property
    def met(self) -> bool | None:
        """Whether the aim is met; None when there is none."""
        if self.most is None and self.least is None:
            return None
        return (self.most is None or self.got <= self.most) and (self.least is None or self.got >= self.least)

    @property
    def aim(self) -> str:
        """The aim in words; empty when there is none."""
        bounds = [("at most", self.most), ("at least", self.least)]
        return ", ".join(f"{word} {_said(bound, self.unit)}" for word, bound in bounds if bound is not None)


def as_markdown(figures: Sequence[Figure]) -> str:
    """A table: what, aim, got."""
    rows = [
        f"| {one.what} | {one.aim} | {_said(one.got, one.unit)}{' (missed)' if one.met is False else ''} |"
        for one in figures
    ]
    return "\n".join(["| what | aim | got |", "|---|---|---|", *rows])


def as_json(figures: Sequence[Figure]) -> list[dict[str, Any]]:
    """The figures as JSON has them, with ``met`` added."""
    return [asdict(one) | {"met": one.met} for one in figures]


def p50(values: Sequence[float]) -> float:
    """The median."""
    return float(np.median(values))


def p95(values: Sequence[float]) -> float:
    """The 95th percentile, interpolated."""
    return float(np.percentile(values, 95))


def _said(value: float, unit: str) -> str:
    return f"{value:.4g} {unit}".rstrip()
