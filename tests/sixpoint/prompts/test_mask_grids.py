"""A mask to correct on the image's grid, on the same voxels in another order, and on another grid."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from sixpoint.errors import PromptError
from sixpoint.geometry import Geometry
from sixpoint.mask import Mask, unpack
from sixpoint.prompts import InitialMask
from tests.sixpoint.geometries import AXIS_ORDERS, Axes, Flips, reordered, rotation

GRID = Geometry((9, 8, 7), (0.8, 1.1, 2.5), (-17, 23, -61), tuple(rotation(0.8, 0.2, -0.5, 0.1).reshape(-1)))
OBJECT = np.zeros(GRID.shape, np.uint8)
OBJECT[1:4, 2:7, 3:5] = 1
OBJECT[1, 2, 7] = 1


def voxels(mask: InitialMask) -> object:
    return unpack(mask.packed, GRID.size).tolist()


@pytest.mark.parametrize(("axes", "flips"), AXIS_ORDERS)
def test_a_mask_stored_with_other_axes_is_reordered_exactly(axes: Axes, flips: Flips) -> None:
    array, geometry = reordered(OBJECT, GRID, axes, flips)
    moved = InitialMask.of(Mask(np.ascontiguousarray(array), geometry)).on_grid(GRID)
    assert moved.grid == GRID
    assert voxels(moved) == OBJECT.tolist()


@pytest.mark.parametrize("shift", [0, 5e-5, 2e-4, 1e-3, 7e-3, 0.07])
def test_digits_of_another_program_are_no_other_grid(shift: float) -> None:
    near = replace(GRID, origin=(-17 + shift, 23, -61 - shift))
    moved = InitialMask.of(Mask(OBJECT, near)).on_grid(GRID)
    moved.to_index(GRID)
    assert voxels(moved) == OBJECT.tolist()


@pytest.mark.parametrize(
    "grid",
    [
        replace(GRID, origin=(-16.8, 23, -61)),
        replace(GRID, spacing=(0.8, 1.1, 2.55)),
        replace(GRID, direction=(1, 0, 0, 0, 1, 0, 0, 0, 1)),
    ],
    ids=["a quarter of a voxel", "spacing", "direction"],
)
def test_another_grid_is_refused(grid: Geometry) -> None:
    with pytest.raises(PromptError, match=r"lies on another grid .* mm off at a corner.* --resample"):
        InitialMask.of(Mask(OBJECT, grid)).on_grid(GRID)


def test_a_mask_on_another_grid_is_resampled_when_asked() -> None:
    fine = Geometry((27, 24, 21), tuple(n / 3 for n in GRID.spacing), (0, 0, 0), GRID.direction)  # type: ignore[arg-type]
    first = GRID.index_to_point([[-1 / 3, -1 / 3, -1 / 3]])[0]
    fine = replace(fine, origin=tuple(first.tolist()))
    array = OBJECT.repeat(3, 0).repeat(3, 1).repeat(3, 2)
    moved = InitialMask.of(Mask(array, fine)).on_grid(GRID, resample=True)
    assert voxels(moved) == OBJECT.tolist()


def test_a_mask_outside_the_image_is_not_resampled_to_nothing() -> None:
    with pytest.raises(PromptError, match="lies outside the image"):
        InitialMask.of(Mask(OBJECT, replace(GRID, origin=(500, 0, 0)))).on_grid(GRID, resample=True)


@pytest.mark.parametrize("thin", [0, 1, 2])
def test_a_mask_of_one_slice_is_reordered(thin: int) -> None:
    size = tuple(1 if axis == thin else n for axis, n in enumerate(GRID.size))
    grid = Geometry(size, GRID.spacing, GRID.origin, GRID.direction)  # type: ignore[arg-type]
    array = np.random.default_rng(0).integers(0, 2, grid.shape).astype(np.uint8)
    for axes, flips in AXIS_ORDERS:
        turned, geometry = reordered(array, grid, axes, flips)
        moved = InitialMask.of(Mask(np.ascontiguousarray(turned), geometry)).on_grid(grid)
        assert np.array_equal(unpack(moved.packed, grid.size), array)
