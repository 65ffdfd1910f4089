"""What a click does: how much of the clicked error it corrects, how far from the click, and what it spoils."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from sixpoint._typing import Bools
from trainer.simulation.simulated_user import ErrorClick, clicked_error

__all__ = [
    "HARMS",
    "REACHES",
    "ClickChange",
    "MeasuredClick",
    "flat_figures",
    "measure_click",
    "summarise_clicks",
    "tabulate_clicks",
]

REACHES = (6, 12)
"""Distances from a click, in cells of the network's grid, within which the corrected share of its error is measured."""
HARMS = (0.005, 0.05)
"""Losses of Dice above which a click counts as harmful."""
_FILLS = (0.2, 1 / 3, 0.5)
_EXTENTS = (10, 20, 40)


@dataclass(frozen=True)
class ClickChange:
    """Voxels that a click changed, by their distance from it.

    Attributes:
        corrected: Number of voxels that were wrong before and are right after.
        overshoot: Number of voxels that were right before and are wrong after.
        error: Number of voxels of the clicked error within each of :data:`REACHES`.
        error_corrected: Number of these that are right after.
    """

    corrected: int
    overshoot: int
    error: tuple[int, ...]
    error_corrected: tuple[int, ...]


@dataclass(frozen=True)
class MeasuredClick:
    """A click with what is needed to compare it with others.

    Attributes:
        change: Voxels that it changed.
        gain: Dice after the click minus Dice before.
        positive: Whether the click is positive.
        voxels: Number of voxels of the object.
        fill: Fraction of its box that the object fills.
        extent: Smallest extent of the object's box, in voxels.
    """

    change: ClickChange
    gain: float
    positive: bool
    voxels: int
    fill: float
    extent: int


def measure_click(
    truth: Bools, before: Bools, after: Bools, click: ErrorClick, *, cell: Sequence[float] = (1.0, 1.0, 1.0)
) -> ClickChange:
    """Measure what a click changed.

    Args:
        truth: True mask, [z, y, x].
        before: Mask before the click, wrong where it was made.
        after: Mask after the click.
        click: The click.
        cell: Edges (z, y, x) of a cell of the network's grid, in voxels.
    """
    box = ndimage.find_objects((truth | before | after).view(np.uint8))[0]
    truth, before, after = truth[box], before[box], after[box]
    place = tuple(at - part.start for at, part in zip(click.point[::-1], box, strict=True))
    right = after == truth
    wrong_before = before != truth
    error = clicked_error(truth, before, place)
    cells = np.argwhere(error)
    distance = np.linalg.norm((cells - place) / np.asarray(cell, np.float64), axis=1)
    corrected = right[error]
    return ClickChange(
        corrected=int(np.count_nonzero(wrong_before & right)),
        overshoot=int(np.count_nonzero(~wrong_before & ~right)),
        error=tuple(int(np.count_nonzero(distance <= reach)) for reach in REACHES),
        error_corrected=tuple(int(np.count_nonzero(corrected & (distance <= reach))) for reach in REACHES),
    )


def summarise_clicks(clicks: Sequence[MeasuredClick]) -> dict[str, float]:
    """Compute the measures of clicks, by name.

    Each object counts alike in the overshoot, whatever its size.

    Args:
        clicks: At least one click.
    """
    row = {"clicks": float(len(clicks)), "mean gain": float(np.mean([click.gain for click in clicks]))}
    for index, reach in enumerate(REACHES):
        shares = [click.change.error_corrected[index] / max(click.change.error[index], 1) for click in clicks]
        row[f"corrected within {reach} cells"] = float(np.mean(shares))
    corrected = sum(click.change.corrected / click.voxels for click in clicks)
    overshoot = sum(click.change.overshoot / click.voxels for click in clicks)
    row["overshoot per corrected"] = overshoot / max(corrected, 1e-9)
    for harm in HARMS:
        row[f"costs over {harm:g}"] = float(np.mean([click.gain < -harm for click in clicks]))
    return row


def tabulate_clicks(clicks: Sequence[MeasuredClick]) -> dict[str, dict[str, float]]:
    """Compute the measures of all clicks, of each sign, and by fill and smallest extent of the object.

    Returns:
        Measures of :func:`summarise_clicks` by row; rows without clicks are left out.
    """
    rows: dict[str, Callable[[MeasuredClick], bool]] = {
        "all clicks": lambda _: True,
        "positive": lambda click: click.positive,
        "negative": lambda click: not click.positive,
    }
    for low, high in _ranges(_FILLS):
        rows[_range_name("fills", low, high, "{:.0%}", "of its box")] = lambda click, low=low, high=high: (  # type: ignore[misc]
            low <= click.fill < high
        )
    for low, high in _ranges(_EXTENTS):
        rows[_range_name("thinnest extent", low, high, "{:g}", "voxels")] = lambda click, low=low, high=high: (  # type: ignore[misc]
            low <= click.extent < high
        )
    chosen = {name: [click for click in clicks if belongs(click)] for name, belongs in rows.items()}
    return {name: summarise_clicks(members) for name, members in chosen.items() if members}


def flat_figures(table: Mapping[str, Mapping[str, float]], *, prefix: str) -> dict[str, float]:
    """Name the measures that a model's card shows: those of all clicks, and how often each sign does harm.

    Args:
        table: Result of :func:`tabulate_clicks`.
        prefix: Begin of each name.
    """
    if not table:
        return {}
    row = table["all clicks"]
    figures = {f"{prefix}click_corrected_{reach}_cells": row[f"corrected within {reach} cells"] for reach in REACHES}
    figures[f"{prefix}click_overshoot"] = row["overshoot per corrected"]
    harm = f"costs over {HARMS[0]:g}"
    figures |= {
        f"{prefix}click_harm{suffix}": table[name][harm]
        for name, suffix in (("all clicks", ""), ("positive", "_positive"), ("negative", "_negative"))
        if name in table
    }
    figures[f"{prefix}click_great_harm"] = row[f"costs over {HARMS[1]:g}"]
    return figures


def _ranges(ends: Sequence[float]) -> list[tuple[float, float]]:
    edges = (-np.inf, *ends, np.inf)
    return list(itertools.pairwise(edges))


def _range_name(what: str, low: float, high: float, form: str, unit: str) -> str:
    if np.isinf(low):
        return f"{what} under {form.format(high)} {unit}"
    if np.isinf(high):
        return f"{what} {form.format(low)} or more {unit}"
    return f"{what} {form.format(low)} to {form.format(high)} {unit}"
