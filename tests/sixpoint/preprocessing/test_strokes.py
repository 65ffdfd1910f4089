"""The clicks that stand for a stroke, its cells, and the box of an object that a lasso starts."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from sixpoint.preprocessing import (
    Roi,
    cells_of_voxels,
    estimate_object_box,
    outline_extremes,
    representative_clicks,
    set_stroke_cells,
)


def voxels_of(mask: np.ndarray) -> np.ndarray:
    return np.argwhere(mask)[:, ::-1].astype(np.int32)


def test_the_click_of_a_line_is_its_middle() -> None:
    line = np.array([(x, 7, 3) for x in range(5, 26)], np.int32)
    assert representative_clicks(line, spacing=(1, 1, 1)).tolist() == [[15, 7, 3]]


def test_the_click_of_a_region_is_where_it_is_deepest() -> None:
    # A disc with a long tail: the middle of all voxels is in neither.
    y, x = np.indices((60, 90))
    region = ((x - 20) ** 2 + (y - 30) ** 2 < 200) | ((abs(y - 30) < 2) & (x >= 20) & (x < 88))
    ((x0, y0, z0),) = representative_clicks(voxels_of(region[None]), spacing=(1, 1, 1)).tolist()
    assert abs(x0 - 20) <= 3
    assert abs(y0 - 30) <= 3
    assert z0 == 0


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (0.7, 0.7, 3.0)])
def test_the_depth_is_that_of_the_euclidean_distance_transform(spacing: tuple[float, float, float]) -> None:
    blob = ndimage.gaussian_filter(np.random.default_rng(4).normal(size=(20, 30, 40)), 2.5) > 0.05
    labels, _ = ndimage.label(blob)
    blob = labels == np.bincount(labels.reshape(-1))[1:].argmax() + 1
    blob = blob[ndimage.find_objects(blob.astype(int))[0]]
    depth = ndimage.distance_transform_edt(np.pad(blob, 1), sampling=spacing[::-1])[1:-1, 1:-1, 1:-1]
    ((x, y, z),) = representative_clicks(voxels_of(blob), spacing=spacing).astype(int).tolist()
    assert depth[z, y, x] == pytest.approx(depth.max())


def test_further_clicks_are_far_from_those_before() -> None:
    line = np.array([(x, 7, 3) for x in range(5, 26)], np.int32)
    assert representative_clicks(line, spacing=(1, 1, 1), count=3)[:, 0].tolist() == [15, 5, 25]
    assert len(representative_clicks(line[:2], spacing=(1, 1, 1), count=3)) == 2


def test_large_cells_are_taken_up_by_the_voxels_in_them() -> None:
    roi = Roi((-0.5, -0.5, -0.5), (15.5, 15.5, 15.5), (4, 4, 4))
    cells = cells_of_voxels(np.array([(0, 0, 0), (3, 0, 0), (4, 0, 0), (15, 15, 15), (16, 0, 0)], np.int32), roi)
    assert np.argwhere(cells).tolist() == [[0, 0, 0], [0, 0, 1], [3, 3, 3]]


def test_small_cells_are_taken_up_where_their_centres_lie_in_a_voxel() -> None:
    roi = Roi((-0.5, -0.5, -0.5), (3.5, 3.5, 3.5), (16, 16, 4))
    cells = cells_of_voxels(np.array([(1, 2, 3)], np.int32), roi)
    assert {tuple(cell) for cell in np.argwhere(cells).tolist()} == {
        (3, y, x) for y in range(8, 12) for x in range(4, 8)
    }


def test_the_cells_of_a_stroke_reach_its_side_and_no_cell_moves_away_from_it() -> None:
    counts, cells = np.array([[[0, 200, 90]]], np.uint8), np.array([[[True, True, False]]])
    assert set_stroke_cells(counts, cells, positive=True, inside=128, outside=127).tolist() == [[[128, 200, 90]]]
    assert set_stroke_cells(counts, cells, positive=False, inside=128, outside=127).tolist() == [[[0, 127, 90]]]


def test_the_box_of_an_outline_is_exact_in_its_slice_and_somewhat_thicker_than_wide() -> None:
    outline = np.zeros((30, 40, 50), np.bool_)
    outline[12, 10:20, 5:25] = True
    box = estimate_object_box(voxels_of(outline), spacing=(1.0, 1.0, 2.5), image_size=(50, 40, 30))
    assert box == ((5, 10, 8), (25, 20, 17))
    box = estimate_object_box(voxels_of(outline), spacing=(1.0, 1.0, 0.1), image_size=(50, 40, 30))
    assert box == ((5, 10, 0), (25, 20, 30))


def test_the_extremes_of_an_outline_are_its_own_and_the_ends_across_it() -> None:
    y, x = np.indices((40, 50))
    outline = ((x - 20) / 11.5) ** 2 + ((y - 17) / 7.5) ** 2 < 1
    voxels = voxels_of(np.stack([outline & (z == 12) for z in range(30)]))
    box = np.array([[9, 10, 4], [31, 24, 20]], float)
    points = outline_extremes(voxels, box)
    assert points.tolist() == [[9, 17, 12], [31, 17, 12], [20, 10, 12], [20, 24, 12], [20, 17, 4], [20, 17, 20]]
    # What is known of the object elsewhere is more than the outline says.
    assert len(outline_extremes(voxels, np.array([[0, 0, 4], [40, 24, 20]], float))) == 0
