"""Components that a prompt touches stay, others are removed."""

from __future__ import annotations

import numpy as np
import pytest

from gateway.core.annotation.postprocess import keep_touched_components, postprocess
from sixpoint.prompts import Click
from tests.gateway.core.annotation.network_inputs import network_input
from tests.gateway.prompts import BOX, SIX
from tests.support.images import noisy_volume


def grid_with(*blocks: tuple[int, int, int]) -> np.ndarray:
    grid = np.zeros((32, 32, 32), np.uint8)
    for z, y, x in blocks:
        grid[z : z + 6, y : y + 6, x : x + 6] = 230
    return grid


def in_frame(cells: list[tuple[int, int, int]]) -> np.ndarray:
    """Points (x, y, z) in the ROI's frame, of cells (z, y, x)."""
    return (2 * (np.array(cells, float)[:, ::-1] + 0.5) / 32) - 1


NONE = np.empty((0, 3))


def test_a_component_that_no_point_touches_is_dropped() -> None:
    remaining = keep_touched_components(
        grid_with((4, 4, 4), (20, 20, 20)), in_frame([(6, 6, 3)]), clicks=NONE, threshold=0.5
    )
    assert np.array_equal(remaining, grid_with((4, 4, 4)))


def test_all_components_that_points_or_clicks_touch_are_kept() -> None:
    grid, first, second = grid_with((4, 4, 4), (20, 20, 20)), [(6, 6, 3)], [(22, 22, 26)]
    assert np.array_equal(keep_touched_components(grid, in_frame(first + second), clicks=NONE, threshold=0.5), grid)
    assert np.array_equal(keep_touched_components(grid, in_frame(first), clicks=in_frame(second), threshold=0.5), grid)


def test_without_any_touched_component_the_largest_is_kept() -> None:
    grid = grid_with((4, 4, 4), (20, 20, 20))
    grid[26, 20:26, 20:26] = 230
    for extremes in (in_frame([(30, 2, 2)]), NONE):
        remaining = keep_touched_components(grid, extremes, clicks=NONE, threshold=0.5)
        assert remaining[4:10].max() == 0
        assert remaining[22, 22, 22] == 230


@pytest.mark.parametrize("extremes", [in_frame([(30, 2, 2)]), NONE], ids=["points that miss", "a box"])
def test_a_click_on_a_missed_part_does_not_cost_the_largest(extremes: np.ndarray) -> None:
    grid = grid_with((4, 4, 4), (20, 20, 20), (4, 20, 20))
    grid[26, 20:26, 20:26] = 230
    remaining = keep_touched_components(grid, extremes, clicks=in_frame([(6, 6, 6)]), threshold=0.5)
    assert remaining[22, 22, 22] == remaining[6, 6, 6] == 230
    assert remaining[6, 22, 22] == 0


def test_a_component_that_only_a_positive_click_touches_is_kept() -> None:
    volume = noisy_volume()
    grid = np.zeros((64, 64, 64), np.float32)
    grid[26:38, 26:38, 10:54] = 1.0
    grid[2:8, 2:8, 2:8] = 1.0
    without = postprocess(
        grid, network_input(SIX, volume=volume), geometry=volume.geometry, threshold=0.5
    ).probabilities
    assert without[4, 4, 4] == 0
    prepared = network_input(SIX, Click((4, 3, 2)), volume=volume)
    cell = np.floor((prepared.guidance.positive[0] + 1) / 2 * 64).astype(int)
    assert (cell < 8).all()
    assert postprocess(grid, prepared, geometry=volume.geometry, threshold=0.5).probabilities[4, 4, 4] == 255


def test_of_a_box_the_largest_component_is_kept() -> None:
    volume = noisy_volume()
    grid = np.zeros((64, 64, 64), np.float32)
    grid[26:38, 26:38, 10:54] = 1.0
    grid[2:8, 2:8, 2:8] = 1.0
    remaining = postprocess(
        grid, network_input(BOX, volume=volume), geometry=volume.geometry, threshold=0.5
    ).probabilities
    assert remaining[30, 30, 30] == 255
    assert remaining[4, 4, 4] == 0
