"""Lassos: contours on one slice, filled exactly."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sixpoint.errors import PromptError
from sixpoint.geometry import Geometry
from sixpoint.prompts import MAX_CONTOUR_POINTS, Frame, Lasso
from sixpoint.prompts.polygons import fill_polygon
from tests.sixpoint.geometries import AXIS_ORDERS, reordered

GEOMETRY = Geometry((40, 36, 32), spacing=(0.5, 1.0, 2.0), origin=(10, -20, 30))
SQUARE = [(8.0, 10.0, 12.0), (12.0, 10.0, 12.0), (12.0, 13.0, 12.0), (8.0, 13.0, 12.0)]
CIRCLE = [(20 + 9.3 * math.cos(a), 15, 16 + 5.7 * math.sin(a)) for a in np.linspace(0, 2 * math.pi, 50)]


def test_voxels_on_the_contour_are_inside() -> None:
    voxels = Lasso(SQUARE).voxels(GEOMETRY)
    assert len(voxels) == 5 * 4
    assert voxels.min(axis=0).tolist() == [8, 10, 12]
    assert voxels.max(axis=0).tolist() == [12, 13, 12]


@given(st.lists(st.tuples(st.integers(-10, 90), st.integers(-10, 90)), min_size=3, max_size=9))
@settings(max_examples=300)
def test_any_polygon_is_filled_where_it_winds_round_a_centre(corners: list[tuple[int, int]]) -> None:
    filled = fill_polygon(np.array(corners, np.int64), shape=(9, 9), unit=8)
    for y in range(9):
        for x in range(9):
            assert filled[y, x] == _inside(8 * x, 8 * y, corners), (x, y)


def _inside(x: int, y: int, corners: list[tuple[int, int]]) -> bool:
    """Winding number by the definition, one point at a time (D. Sunday)."""
    winding = 0
    for (x0, y0), (x1, y1) in zip(corners, corners[1:] + corners[:1], strict=True):
        left = (x1 - x0) * (y - y0) - (x - x0) * (y1 - y0)
        if left == 0 and min(x0, x1) <= x <= max(x0, x1) and min(y0, y1) <= y <= max(y0, y1):
            return True
        winding += (y0 <= y < y1 and left > 0) - (y1 <= y < y0 and left < 0)
    return winding != 0


def test_every_axis_order_fills_the_same_voxels() -> None:
    reference = np.zeros(GEOMETRY.shape, np.uint8)
    reference[tuple(Lasso(CIRCLE).voxels(GEOMETRY).T[::-1])] = 1
    assert reference.sum() > 150
    points = GEOMETRY.index_to_point(CIRCLE)
    for axes, flips in AXIS_ORDERS:
        expected, geometry = reordered(reference, GEOMETRY, axes, flips)
        filled = np.zeros(geometry.shape, np.uint8)
        filled[tuple(Lasso(points, frame=Frame.LPS).voxels(geometry).T[::-1])] = 1
        assert np.array_equal(filled, expected)


def test_between_two_slices_the_same_one_is_taken_in_every_axis_order() -> None:
    points = GEOMETRY.index_to_point(np.add(SQUARE, (0, 0, 0.5)))
    for axes, flips in AXIS_ORDERS:
        _, geometry = reordered(np.zeros(GEOMETRY.shape), GEOMETRY, axes, flips)
        voxels = Lasso(points, frame="lps").voxels(geometry)
        assert np.rint(GEOMETRY.point_to_index(geometry.index_to_point(voxels)))[:, 2].tolist() == [13] * len(voxels)


def test_a_contour_round_no_centre_means_the_voxels_of_its_corners() -> None:
    assert Lasso([(5.2, 6.2, 3), (5.4, 6.2, 3), (5.3, 6.4, 3)]).voxels(GEOMETRY).tolist() == [[5, 6, 3]]


def test_the_filled_form_is_the_same_lasso() -> None:
    mask = np.zeros(GEOMETRY.shape, np.uint8)
    mask[12, 10:14, 8:13] = 1
    filled = Lasso.of_mask(mask, False)
    assert (filled.positive, filled.points) == (False, ())
    assert np.array_equal(filled.voxels(GEOMETRY), Lasso(SQUARE).voxels(GEOMETRY))
    assert filled.slice_axis(filled.voxels(GEOMETRY)) == 2


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Lasso(SQUARE[:2]), "expected 3 to 2000 points"),
        (lambda: Lasso(SQUARE * MAX_CONTOUR_POINTS), "got 8000"),
        (lambda: Lasso([*SQUARE, (1, 2)]), "lasso, point 4: expected three finite numbers"),
        (lambda: Lasso("8,10,12 9,10,12 8,11,12"), "got a text"),  # type: ignore[arg-type]
        (lambda: Lasso(SQUARE, axis="w"), "expected 'x', 'y' or 'z'"),  # type: ignore[arg-type]
        (lambda: Lasso([(8, 10, 12), (12, 10, 14), (12, 13, 12)]).voxels(GEOMETRY), "lies on several slices"),
        (lambda: Lasso(SQUARE, axis="x").voxels(GEOMETRY), "lies on several slices"),
        (lambda: Lasso([*SQUARE, (41, 10, 12)]).voxels(GEOMETRY), r"points\[4\] at voxel \(41, 10, 12\)"),
        (lambda: Lasso.of_mask(np.ones((2, 3, 4))).voxels(GEOMETRY), "lies on several slices"),
        (lambda: Lasso.of_mask(np.zeros((2, 3, 4))), "no voxels"),
        (lambda: Lasso.of_mask(np.ones((3, 4))), "expected a mask"),
        (lambda: Lasso(SQUARE, extent=((0, 0, 0), (41, 9, 9))).to_index(GEOMETRY), "exceeds the image"),
        (lambda: Lasso(SQUARE, extent=((9, 0, 0), (9, 9, 9))).to_index(GEOMETRY), "is empty"),
    ],
)
def test_what_is_no_lasso_is_refused(make: object, words: str) -> None:
    with pytest.raises(PromptError, match=words):
        make()  # type: ignore[operator]


def test_a_lasso_over_a_huge_slice_is_refused_before_it_is_filled() -> None:
    huge = Geometry((4000, 4000, 2))
    with pytest.raises(PromptError, match="its box has 9006001 voxels"):
        Lasso([(0, 0, 0), (3000, 0, 0), (3000, 3000, 0)]).voxels(huge)
