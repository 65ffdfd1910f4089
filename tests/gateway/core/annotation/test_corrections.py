import math

import numpy as np
import pytest

from gateway.core.annotation.corrections import enforce_clicks, limit_change_to_clicks, quantise, threshold_count
from sixpoint.preprocessing import Roi


def grid_with(*blocks: tuple[int, int, int], size: int = 32) -> np.ndarray:
    grid = np.full((size, size, size), 26, np.uint8)
    for z, y, x in blocks:
        grid[z : z + 4, y : y + 4, x : x + 4] = 230
    return grid


def in_frame(*cells: tuple[float, float, float], size: int = 32) -> np.ndarray:
    """Points (x, y, z) in the ROI's frame, of cells (z, y, x)."""
    return (2 * (np.array(cells, float).reshape(-1, 3)[:, ::-1] + 0.5) / size) - 1


# What changes far from a click


def test_a_region_that_changes_far_from_the_click_keeps_the_previous_answer() -> None:
    previous, new = grid_with((4, 4, 4)), grid_with((24, 24, 24))
    settled = limit_change_to_clicks(new, previous, in_frame((25, 25, 25)), threshold=0.5)
    # The new block is beside the click; the old one, far from it, is not lost.
    assert np.array_equal(settled, grid_with((4, 4, 4), (24, 24, 24)))


def test_a_region_that_begins_at_the_click_may_reach_far() -> None:
    new = np.full((32, 32, 32), 26, np.uint8)
    new[14:18, 14:18, 2:] = 230
    assert np.array_equal(limit_change_to_clicks(new, grid_with(), in_frame((16, 16, 3)), threshold=0.5), new)


@pytest.mark.parametrize(("distance", "unchanged"), [(7.5, False), (8.5, True)])
def test_the_reach_is_a_quarter_of_the_edge(distance: float, unchanged: bool) -> None:
    previous = grid_with()
    new = previous.copy()
    new[16, 16, 16] = 230
    settled = limit_change_to_clicks(new, previous, in_frame((16, 16, 16 - distance)), threshold=0.5)
    assert np.array_equal(settled, previous if unchanged else new)


def test_along_a_short_axis_of_the_grid_the_reach_is_a_quarter_of_that() -> None:
    previous = np.zeros((8, 32, 32), np.uint8)
    new = previous.copy()
    new[6, 16, 16] = 255
    click = np.array([[0.0, 0.0, -0.5]])  # its z is at cell 1.5 of 8
    assert not limit_change_to_clicks(new, previous, click, threshold=0.5).any()
    assert limit_change_to_clicks(new, previous, np.array([[0.0, 0.0, 0.3]]), threshold=0.5).any()


def test_an_infinite_reach_takes_the_new_answer() -> None:
    new = grid_with((24, 24, 24))
    assert np.array_equal(
        limit_change_to_clicks(new, grid_with((4, 4, 4)), in_frame((0, 0, 0)), threshold=0.5, reach=np.inf), new
    )


def test_without_a_new_click_nothing_changes_sides() -> None:
    previous = grid_with((4, 4, 4))
    settled = limit_change_to_clicks(grid_with((24, 24, 24)), previous, in_frame(), threshold=0.5)
    assert np.array_equal(settled, previous)


def test_probabilities_that_stay_on_their_side_are_the_new_ones() -> None:
    previous, new = grid_with((4, 4, 4)), np.where(grid_with((4, 4, 4)) > 128, 150, 50).astype(np.uint8)
    assert np.array_equal(limit_change_to_clicks(new, previous, in_frame((16, 16, 16)), threshold=0.5), new)


def test_every_one_of_several_clicks_is_a_reason() -> None:
    previous, new = grid_with(), grid_with((4, 4, 4), (24, 24, 24))
    assert np.array_equal(limit_change_to_clicks(new, previous, in_frame((5, 5, 5), (25, 25, 25)), threshold=0.5), new)


# Clicks that hold

ROIS = {
    "finer": Roi((0.2, -0.4, 1.1), (10.3, 9.7, 11.9), (32, 32, 32)),
    "as fine": Roi((-0.5, -0.5, -0.5), (31.5, 31.5, 31.5), (32, 32, 32)),
    "coarser": Roi((-3.2, 1.7, 0.4), (90.3, 110.1, 77.7), (32, 32, 32)),
    "both": Roi((-3.2, 1.7, 0.4), (90.3, 12.1, 33.1), (32, 32, 32)),
    "means of a whole image": Roi((-0.5, -0.5, -0.5), (99.5, 19.5, 40.5), (32, 32, 32), resampling="area"),
}


@pytest.mark.parametrize("threshold", [0.3, 0.5, 0.77])
@pytest.mark.parametrize("value", [0, 255])
@pytest.mark.parametrize("roi", ROIS.values(), ids=list(ROIS))
def test_a_violated_click_moves_its_voxel_and_little_else(roi: Roi, value: int, threshold: float) -> None:
    grid = np.full((32, 32, 32), value, np.uint8)
    # The smallest count of 255ths on the side of the object, or the largest on the other one.
    expected = math.ceil(threshold * 255) - (value > 0)
    size = (100, 100, 100)
    lower, upper = roi.voxel_bounds(size)
    for voxel in (lower, tuple(n - 1 for n in upper), tuple((a + b) // 2 for a, b in zip(lower, upper, strict=True))):
        enforced = enforce_clicks(grid, np.array([voxel]), np.array([value == 0]), roi=roi, threshold=threshold)
        values, first = roi.restore(enforced, image_size=size)
        x, y, z = (a - b for a, b in zip(voxel, first, strict=True))
        assert values[z, y, x] == pytest.approx(expected, abs=1e-3)
        reach = np.array([max(1.0, 1 / step) for step in roi.cell_size])
        assert np.count_nonzero(enforced != grid) <= np.prod(2 * reach + 1)
    assert (grid == value).all()


def test_a_click_that_holds_already_changes_nothing() -> None:
    grid = np.full((32, 32, 32), 230, np.uint8)
    enforced = enforce_clicks(grid, np.array([[5, 5, 5]]), np.array([True]), roi=ROIS["finer"], threshold=0.5)
    assert np.array_equal(enforced, grid)


def test_of_clicks_that_share_cells_the_later_one_counts() -> None:
    grid, voxels = np.full((32, 32, 32), 230, np.uint8), np.array([[40, 50, 30], [41, 50, 30]])
    for signs in ([True, False], [False, True]):
        enforced = enforce_clicks(grid, voxels, np.array(signs), roi=ROIS["coarser"], threshold=0.5)
        values, first = ROIS["coarser"].restore(enforced, image_size=(100, 120, 80))
        x, y, z = voxels[1] - first
        assert values[z, y, x] == pytest.approx(127, abs=1e-3) if not signs[1] else values[z, y, x] >= 128 - 1e-3


def test_without_clicks_the_answer_is_as_it_was() -> None:
    grid = np.random.default_rng(0).integers(0, 256, (32, 32, 32), np.uint8)
    none = enforce_clicks(grid, np.empty((0, 3), np.int64), np.empty(0, bool), roi=ROIS["finer"], threshold=0.5)
    assert np.array_equal(none, grid)


# Counts of 255ths


def test_counts_come_back_from_the_probabilities_that_they_stand_for() -> None:
    counts = np.arange(256, dtype=np.uint8)
    assert np.array_equal(quantise(counts.astype(np.float32) / np.float32(255)), counts)


@pytest.mark.parametrize(
    ("threshold", "count"), [(0.5, 128), (0.2, 51), (0.2001, 52), (0.6, 153), (1e-6, 1), (0.999, 255)]
)
def test_the_least_count_is_the_first_at_or_above_the_threshold(threshold: float, count: int) -> None:
    assert threshold_count(threshold) == count
