"""What a click corrects near it, and what it spoils elsewhere, by hand-made masks."""

from __future__ import annotations

import numpy as np
import pytest

from sixpoint._typing import Bools
from trainer.simulation.click_measures import (
    ClickChange,
    MeasuredClick,
    flat_figures,
    measure_click,
    tabulate_clicks,
)
from trainer.simulation.simulated_user import ErrorClick


def row(*spans: tuple[int, int]) -> Bools:
    """A mask of 1 x 1 x 40 voxels with these half-open spans along x, in a larger image."""
    mask = np.zeros((5, 5, 60), np.bool_)
    for first, last in spans:
        mask[2, 2, 10 + first : 10 + last] = True
    return mask


CLICK = ErrorClick(point=(30, 2, 2), positive=True)
"""On x = 20 of the row."""


def test_the_clicked_error_is_measured_by_its_distance_from_the_click() -> None:
    # Missed: 12 to 40, and a second error 0 to 4, which nobody clicked.
    change = measure_click(row((0, 40)), row((4, 12)), row((4, 12), (16, 22), (36, 38)), CLICK)
    # 12 to 32 lie within 12 cells of 20 (on the left only 8 are missed), and 14 to 26 within 6.
    assert change.error == (13, 21)
    assert change.error_corrected == (6, 6)
    assert change.corrected == 8
    assert change.overshoot == 0
    # In cells of two voxels along x, twice as far.
    wide = measure_click(row((0, 40)), row((4, 12)), row((4, 12), (16, 22), (36, 38)), CLICK, cell=(1, 1, 2))
    assert wide.error == (21, 28)
    assert wide.error_corrected == (6, 8)


def test_what_was_right_and_is_wrong_is_overshoot_wherever_it_is() -> None:
    # The click brings 10 to 20 back, loses 2 to 5, and adds 20 to 24.
    click = ErrorClick(point=(25, 2, 2), positive=True)
    change = measure_click(row((0, 20)), row((0, 10)), row((0, 2), (5, 24)), click)
    assert change.corrected == 10
    assert change.overshoot == 3 + 4
    assert change.error_corrected == change.error


def test_a_negative_click_is_measured_on_what_is_too_much() -> None:
    # Missed and extra voxels touch, and are two errors.
    click = ErrorClick(point=(34, 2, 2), positive=False)
    change = measure_click(row((0, 20)), row((0, 18), (20, 28)), row((0, 18), (20, 22)), click)
    assert change.error == (8, 8)
    assert change.error_corrected == (6, 6)
    nothing = ErrorClick(point=(25, 2, 2), positive=True)
    assert measure_click(row((0, 20)), row((0, 20)), row((0, 20)), nothing).error == (0, 0)


def measured(
    gain: float, *, positive: bool, corrected: int = 10, overshoot: int = 5, voxels: int = 100
) -> MeasuredClick:
    change = ClickChange(corrected, overshoot, error=(4, 8), error_corrected=(4, 2))
    return MeasuredClick(change, gain, positive, voxels, fill=0.1 if positive else 0.7, extent=8 if positive else 20)


def test_clicks_are_summed_up_by_sign_fill_and_extent() -> None:
    # The larger object changes ten times as many voxels, and counts no more for that.
    clicks = [
        measured(0.02, positive=True),
        measured(-0.006, positive=True, overshoot=15),
        measured(-0.06, positive=False, corrected=100, overshoot=0, voxels=1000),
    ]
    table = tabulate_clicks(clicks)
    assert table["all clicks"] == pytest.approx(
        {
            "clicks": 3,
            "mean gain": -0.046 / 3,
            "corrected within 6 cells": 1.0,
            "corrected within 12 cells": 0.25,
            "overshoot per corrected": 20 / 30,
            "costs over 0.005": 2 / 3,
            "costs over 0.05": 1 / 3,
        }
    )
    assert table["positive"]["overshoot per corrected"] == 1.0
    assert table["positive"]["costs over 0.05"] == 0.0
    assert table["negative"]["costs over 0.005"] == 1.0
    assert table["fills under 20% of its box"] == table["positive"] == table["thinnest extent under 10 voxels"]
    assert table["fills 50% or more of its box"] == table["negative"] == table["thinnest extent 20 to 40 voxels"]
    assert len(table) == 7
    figures = flat_figures(table, prefix="synthetic_")
    assert figures["synthetic_click_overshoot"] == pytest.approx(20 / 30)
    assert figures["synthetic_click_harm_negative"] == 1.0
    assert flat_figures({}, prefix="") == {}
