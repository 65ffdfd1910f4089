"""Two grids with their voxels at the same places: indices of one become those of the other."""

from __future__ import annotations

import numpy as np
import pytest

from sixpoint.geometry import Geometry
from sixpoint.masks.regridding import map_grid, reorder
from tests.sixpoint.geometries import AXIS_ORDERS, Axes, Flips, reordered, rotation

SPACING = (0.7, 0.9, 3.3)
GRID = Geometry((4, 5, 6), SPACING, (-120.5, 33.25, 812.125), tuple(rotation(0.8, 0.2, -0.5, 0.1).reshape(-1)))
VOXELS = np.arange(4 * 5 * 6).reshape(GRID.shape)


@pytest.mark.parametrize(("axes", "flips"), AXIS_ORDERS)
def test_voxels_get_the_axes_of_the_other_grid(axes: Axes, flips: Flips) -> None:
    stored, geometry = reordered(VOXELS, GRID, axes, flips)
    there, back = map_grid(GRID, geometry), map_grid(geometry, GRID)
    assert there
    assert back
    turned, lower = there.apply(VOXELS, (0, 0, 0))
    assert np.array_equal(turned, stored)
    assert lower == (0, 0, 0)
    part, lower = back.apply(stored, (0, 0, 0))
    assert np.array_equal(part, VOXELS)
    assert lower == (0, 0, 0)


@pytest.mark.parametrize(("axes", "flips"), AXIS_ORDERS[::5])
def test_a_box_lies_where_its_voxels_do(axes: Axes, flips: Flips) -> None:
    stored, geometry = reordered(VOXELS, GRID, axes, flips)
    grid_map = map_grid(GRID, geometry)
    assert grid_map
    box, (x, y, z) = grid_map.apply(VOXELS[2:5, 1:3, 1:4], (1, 1, 2))
    depth, height, width = box.shape
    assert np.array_equal(stored[z : z + depth, y : y + height, x : x + width], box)


def test_a_part_of_the_grid_has_an_offset() -> None:
    corner = tuple(GRID.index_to_point([(1, 2, 3)])[0])
    part = Geometry((2, 2, 3), SPACING, corner, GRID.direction)
    grid_map = map_grid(part, GRID)
    assert grid_map
    assert grid_map.apply(VOXELS[3:, 2:4, 1:3], (0, 0, 0))[1] == (1, 2, 3)


def test_across_a_single_slice_any_spacing_will_do() -> None:
    slice_ = Geometry((4, 5, 1), (0.7, 0.9, 1.0), tuple(GRID.index_to_point([(0, 0, 2)])[0]), GRID.direction)
    grid_map = map_grid(slice_, GRID)
    assert grid_map
    assert grid_map.apply(VOXELS[2:3], (0, 0, 0))[1] == (0, 0, 2)


def moved(by: float) -> Geometry:
    """The grid, moved along x by a part of a voxel."""
    return Geometry(GRID.size, GRID.spacing, tuple(GRID.index_to_point([(by, 0, 0)])[0]), GRID.direction)


def test_a_small_part_of_a_voxel_is_no_difference() -> None:
    assert map_grid(moved(0.02), GRID)
    assert map_grid(moved(0.2), GRID) is None


@pytest.mark.parametrize(
    "other",
    [
        Geometry(GRID.size, (0.7, 0.9, 3.5), GRID.origin, GRID.direction),
        Geometry(GRID.size, (1.4, 0.9, 3.3), GRID.origin, GRID.direction),
        Geometry(GRID.size, SPACING, GRID.origin),
    ],
    ids=["spacing", "twice", "direction"],
)
def test_other_places_have_no_map(other: Geometry) -> None:
    assert map_grid(other, GRID) is None
    assert map_grid(GRID, other) is None


@pytest.mark.parametrize(("axes", "flips"), AXIS_ORDERS)
def test_a_label_map_gets_the_axes_of_its_image(axes: Axes, flips: Flips) -> None:
    stored, geometry = reordered(VOXELS, GRID, axes, flips)
    assert np.array_equal(reorder(stored, geometry, GRID), VOXELS)


def test_a_label_map_covers_its_image() -> None:
    part = Geometry((4, 5, 5), SPACING, GRID.origin, GRID.direction)
    for labels, source, target in ((VOXELS[:5], part, GRID), (VOXELS, GRID, part), (VOXELS, moved(0.2), GRID)):
        with pytest.raises(ValueError, match=r"lies on another grid than the image \(size .* resample it"):
            reorder(labels, source, target)
