"""Contours of pixels, and the pixels in contours."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from scipy import ndimage

from sixpoint._typing import Bools
from sixpoint.geometry import Geometry
from sixpoint.masks.contours import Contours, fill_polygons, trace_polygons
from tests.sixpoint.geometries import AXIS_ORDERS, geometries, reordered

GRID = Geometry((9, 8, 7), (0.8, 1.1, 2.5), (-17, 23, -61))
MASK = np.zeros(GRID.shape, bool)
MASK[2:5, 1:7, 2:8] = True
MASK[3, 3:5, 3:6] = False
MASK[3, 3, 4] = True


def contours_of(mask: Bools, geometry: Geometry) -> Contours:
    """The contours of a mask [z, y, x] in its slices."""
    rings = [
        geometry.index_to_point(np.column_stack([polygon, np.full(len(polygon), z)]))
        for z, pixels in enumerate(mask)
        for polygon in trace_polygons(pixels)
    ]
    return Contours(tuple(rings))


@given(arrays(np.bool_, array_shapes(min_dims=2, max_dims=2, max_side=12)))
def test_the_polygons_of_any_pixels_have_exactly_these_inside(pixels: Bools) -> None:
    polygons = trace_polygons(pixels)
    assert np.array_equal(fill_polygons(polygons, pixels.shape), pixels)
    assert len(polygons) == ndimage.label(pixels)[1]
    # One by one, too: no polygon needs another one to make its holes.
    total = sum(
        (fill_polygons([polygon], pixels.shape).astype(int) for polygon in polygons), np.zeros(pixels.shape, int)
    )
    assert np.array_equal(total, pixels)


def test_a_polygon_has_corners_only_where_the_sides_of_pixels_turn() -> None:
    pixels = np.zeros((5, 6), bool)
    pixels[1:4, 2:6] = True
    (polygon,) = trace_polygons(pixels)
    assert sorted(map(tuple, polygon.tolist())) == [(1.5, 0.5), (1.5, 3.5), (5.5, 0.5), (5.5, 3.5)]


def test_a_hole_is_joined_to_its_polygon_by_a_channel_that_is_passed_twice() -> None:
    pixels = np.ones((5, 5), bool)
    pixels[2, 2] = False
    (polygon,) = trace_polygons(pixels)
    corners = list(map(tuple, polygon.tolist()))
    assert corners.count((1.5, 1.5)) == corners.count((-0.5, 1.5)) == 2
    assert len(corners) == 4 + 4 + 3


@pytest.mark.parametrize(("axes", "flips"), AXIS_ORDERS)
def test_contours_fill_the_same_voxels_whatever_the_order_of_axes(
    axes: tuple[int, ...], flips: tuple[bool, ...]
) -> None:
    expected, geometry = reordered(MASK, GRID, axes, flips)
    assert np.array_equal(contours_of(MASK, GRID).rasterise(geometry), expected)


@given(geometries(largest=9), st.randoms(use_true_random=False))
def test_contours_on_any_grid_fill_the_mask_that_they_were_made_of(geometry: Geometry, random: object) -> None:
    rng = np.random.default_rng(random.getrandbits(32))  # type: ignore[attr-defined]  # hypothesis' Random
    mask = rng.random(geometry.shape) < rng.random()
    if mask.any():
        assert np.array_equal(contours_of(mask, geometry).rasterise(geometry), mask)


def test_contours_one_in_another_are_holes_and_islands() -> None:
    def square(half: float) -> np.ndarray:
        return np.array([[4 + half * a, 4 + half * b] for a, b in ((-1, -1), (1, -1), (1, 1), (-1, 1))])

    filled = fill_polygons([square(3.2), square(2.2), square(0.2)], (9, 9))
    expected = np.zeros((9, 9), bool)
    expected[1:8, 1:8] = True
    expected[2:7, 2:7] = False
    expected[4, 4] = True
    assert np.array_equal(filled, expected)


def test_of_centres_on_an_edge_each_counts_for_one_of_two_neighbours() -> None:
    left, right = (np.array([(a, 0.0), (b, 0.0), (b, 6.0), (a, 6.0)]) for a, b in ((1.0, 3.0), (3.0, 5.0)))
    total = fill_polygons([left], (8, 8)).astype(int) + fill_polygons([right], (8, 8))
    assert total.max() == 1
    assert total.sum() == 4 * 6


def test_a_polygon_may_reach_beyond_the_pixels() -> None:
    around = np.array([(-5.0, -5.0), (20.0, -5.0), (20.0, 20.0), (-5.0, 20.0)])
    assert fill_polygons([around], (4, 6)).all()
    assert not fill_polygons([around + 100], (4, 6)).any()


def test_contours_that_lie_in_no_slices_are_refused() -> None:
    turned = Geometry(GRID.size, GRID.spacing, GRID.origin, (0.8, -0.6, 0, 0.6, 0.8, 0, 0, 0, 1))
    tilted = Geometry(GRID.size, GRID.spacing, GRID.origin, (1, 0, 0, 0, 0.8, -0.6, 0, 0.6, 0.8))
    with pytest.raises(ValueError, match="do not lie in slices of the image"):
        contours_of(MASK, tilted).rasterise(GRID)
    # Turned in their planes, they still lie in slices.
    with pytest.raises(ValueError, match="outside the image"):
        contours_of(MASK, turned).rasterise(GRID)


@pytest.mark.parametrize(("off", "message"), [(0.1, ""), (0.4, "do not lie in slices"), (5.0, "outside the image")])
def test_slices_may_be_rounded_and_not_be_others(off: float, message: str) -> None:
    moved = Contours(tuple(ring + np.array([0, 0, off * GRID.spacing[2]]) for ring in contours_of(MASK, GRID).rings))
    if message:
        with pytest.raises(ValueError, match=message):
            moved.rasterise(GRID)
    else:
        assert np.array_equal(moved.rasterise(GRID), MASK)


def test_of_an_object_at_the_edge_a_voxel_may_lie_outside() -> None:
    for axis, sign in itertools.product((0, 1), (-1, 1)):
        ends = np.array(GRID.size) - 1.0
        box = np.array([(0.0, 0.0, 3), (ends[0], 0.0, 3), (ends[0], ends[1], 3), (0.0, ends[1], 3)])
        edge = 0.0 if sign < 0 else ends[axis]
        for beyond, fits in ((1.4, True), (1.6, False)):
            ring = box.copy()
            ring[box[:, axis] == edge, axis] += sign * beyond
            contours = Contours((GRID.index_to_point(ring),))
            if fits:
                assert contours.rasterise(GRID)[3].sum() >= 7 * 8
            else:
                with pytest.raises(ValueError, match="outside the image"):
                    contours.rasterise(GRID)
