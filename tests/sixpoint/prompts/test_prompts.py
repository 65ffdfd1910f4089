from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sixpoint.errors import PromptError
from sixpoint.geometry import Geometry
from sixpoint.prompts import Box, Click, ExtremePoints, Frame, Prompt
from tests.sixpoint.geometries import geometries

GEOMETRY = Geometry((40, 50, 30), (0.8, 0.8, 2.5), (-100, 50, 700), (-1, 0, 0, 0, -1, 0, 0, 0, 1))
SIX = [(10, 25, 15), (30, 25, 15), (20, 15, 15), (20, 35, 15), (20, 25, 5), (20, 25, 25)]


def with_point(number: int, point: tuple[float, float, float]) -> list[tuple[float, float, float]]:
    return [*SIX[:number], point, *SIX[number + 1 :]]


def test_voxel_points_are_their_own_indices() -> None:
    assert ExtremePoints(SIX).to_index(GEOMETRY).tolist() == [list(map(float, point)) for point in SIX]


def test_points_in_ras_are_those_in_lps_with_x_and_y_negated() -> None:
    lps = GEOMETRY.index_to_point(SIX)
    ras = [(-x, -y, z) for x, y, z in lps]
    np.testing.assert_array_equal(ExtremePoints(ras, Frame.RAS).to_index(GEOMETRY), SIX)


@given(geometries(largest=200), st.data())
def test_a_point_in_any_frame_is_the_same_index_to_the_last_bit(geometry: Geometry, data: st.DataObject) -> None:
    # Where a mouse can click: anywhere, but on no tie of the rounding.
    fraction = st.tuples(*[st.floats(0.01, 0.99)] * 3)
    points = np.array(data.draw(st.lists(fraction, min_size=6, max_size=9, unique=True)))
    index = np.round(points * geometry.size * 64) / 64 - 0.5
    lps = geometry.index_to_point(index)
    try:
        expected = ExtremePoints(index.tolist()).to_index(geometry)
    except PromptError:
        return
    assert np.array_equal(ExtremePoints(lps.tolist(), Frame.LPS).to_index(geometry), expected)
    assert np.array_equal(ExtremePoints((lps * [-1, -1, 1]).tolist(), Frame.RAS).to_index(geometry), expected)


def test_points_are_rounded_to_far_less_than_anybody_can_click() -> None:
    given = [(x + 0.123456789, y, z) for x, y, z in SIX]
    np.testing.assert_allclose(ExtremePoints(given).to_index(GEOMETRY), given, rtol=0, atol=1 / 128)


def test_millimetres_typed_with_two_decimals_are_the_voxel_that_was_meant() -> None:
    typed = np.round(GEOMETRY.index_to_point(SIX), 2)
    np.testing.assert_array_equal(ExtremePoints(typed.tolist(), Frame.LPS).to_index(GEOMETRY), SIX)


@pytest.mark.parametrize("count", [0, 1, 5, 21])
def test_fewer_than_six_points_and_more_than_twenty_are_refused(count: int) -> None:
    points = [(10.0 + n, 20.0 + n * n % 7, 10.0 + n % 5) for n in range(count)]
    with pytest.raises(PromptError, match=f"expected 6 to 20 points, got {count}") as caught:
        ExtremePoints(points).to_index(GEOMETRY)
    assert [violation.field for violation in caught.value.violations] == ["points"]


def test_more_than_six_points_are_fine() -> None:
    assert ExtremePoints([*SIX, (21, 26, 16)]).to_index(GEOMETRY).shape == (7, 3)


@pytest.mark.parametrize(
    "point", [(-0.51, 25, 15), (39.51, 25, 15), (20, 49.6, 15), (20, 25, -3), (20, 25, 30), (1e300, 25, 15)]
)
def test_a_point_outside_the_image_is_named_with_the_bounds(point: tuple[float, float, float]) -> None:
    with pytest.raises(
        PromptError, match=r"1 of 6 points lie outside .*x -0.5..39.5, y -0.5..49.5, z -0.5..29.5"
    ) as caught:
        ExtremePoints(with_point(3, point)).to_index(GEOMETRY)
    assert [violation.field for violation in caught.value.violations] == ["points[3]"]
    assert "points[3] at voxel" in caught.value.message


def test_every_point_outside_is_named() -> None:
    points = [(-5, 25, 15), *SIX[1:5], (20, 25, 99)]
    with pytest.raises(PromptError, match=r"2 of 6 .*points\[0\] at voxel \(-5, 25, 15\); points\[5\]") as caught:
        ExtremePoints(points).to_index(GEOMETRY)
    assert [violation.field for violation in caught.value.violations] == ["points[0]", "points[5]"]


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("frame", Frame)
@pytest.mark.parametrize("value", [1.7e308, -1.7e308])
def test_points_beyond_all_numbers_are_outside(value: float, frame: Frame) -> None:
    oblique = Geometry((40, 50, 30), direction=(0.6, -0.8, 0, 0.8, 0.6, 0, 0, 0, 1))
    with pytest.raises(PromptError, match="lie outside the image"):
        ExtremePoints([(value, value, value)] * 6, frame).to_index(oblique)


@pytest.mark.parametrize(("typed", "meant"), itertools.permutations(Frame, 2))
@pytest.mark.parametrize("kind", ["points", "box", "click"])
def test_points_that_lie_inside_in_another_frame_are_said_to(typed: Frame, meant: Frame, kind: str) -> None:
    # No two of its frames share a point.
    geometry = Geometry((40, 50, 30), (0.8, 0.8, 2.5), (-100, -350, 700))
    placed = np.array(SIX, float) if meant is Frame.VOXEL else geometry.index_to_point(SIX)
    points = (placed * ([-1, -1, 1] if meant is Frame.RAS else 1)).tolist()
    prompts: dict[str, Prompt] = {
        "points": ExtremePoints(points, typed),
        "box": Box(points[0], points[5], typed),
        "click": Click(points[0], frame=typed),
    }
    hint = {"points": "all 6 lie", "box": "all 2 lie", "click": "it lies"}[kind]
    with pytest.raises(PromptError) as caught:
        prompts[kind].to_index(geometry)
    assert f". As {meant} coordinates {hint} inside: --frame {meant}, or frame='{meant}'" in caught.value.message
    assert caught.value.message.count("inside") == 1


def test_several_frames_that_fit_are_all_named() -> None:
    geometry = Geometry((40, 40, 30), origin=(-20, -20, 700))
    with pytest.raises(
        PromptError, match=r"As lps or ras .* it lies inside: --frame lps\|ras, or frame='lps' or 'ras'$"
    ):
        Click((3, 4, 710)).to_index(geometry)


def test_no_frame_is_named_where_only_some_points_fit() -> None:
    with pytest.raises(PromptError) as caught:
        ExtremePoints([(-105, 45, 705), *SIX[1:]]).to_index(GEOMETRY)
    assert "frame" not in caught.value.message


def test_the_outermost_voxels_belong_to_the_image_up_to_their_faces() -> None:
    points = [(-0.5, 25, 15), (39.5, 25, 15), (20, -0.5, 15), (20, 49.5, 15), (20, 25, -0.5), (20, 25, 29.5)]
    assert ExtremePoints(points).to_index(GEOMETRY).tolist() == [list(point) for point in points]


@pytest.mark.parametrize("axis", range(3))
def test_points_in_one_slice_are_refused(axis: int) -> None:
    points = np.array(SIX, float)
    points[:, axis] = 12
    with pytest.raises(PromptError, match="all lie in one plane") as caught:
        ExtremePoints(points.tolist()).to_index(GEOMETRY)
    assert [violation.field for violation in caught.value.violations] == ["points"]


def test_points_in_an_oblique_plane_are_refused() -> None:
    # z = 0.3 x + 0.2 y
    points = [(x, y, 0.3 * x + 0.2 * y) for x, y in [(10, 25), (30, 25), (20, 15), (20, 35), (14, 31), (27, 18)]]
    with pytest.raises(PromptError, match="all lie in one plane"):
        ExtremePoints(points).to_index(GEOMETRY)


@pytest.mark.parametrize(
    "points", [[(20, 25, 15)] * 6, [(10 + n, 20 + n, 5 + n) for n in range(6)]], ids=["one place", "a line"]
)
def test_points_in_one_place_or_on_a_line_are_refused(points: list[tuple[float, float, float]]) -> None:
    with pytest.raises(PromptError, match="all lie in one plane"):
        ExtremePoints(points).to_index(GEOMETRY)


def test_an_object_of_two_slices_is_thick_enough() -> None:
    points = [*SIX[:4], (20, 25, 15), (20, 25, 16)]
    assert ExtremePoints(points).to_index(GEOMETRY).shape == (6, 3)


@pytest.mark.parametrize("name", ["voxel", "LPS", "Ras", " lps "])
def test_a_frame_may_be_named_in_any_case(name: str) -> None:
    assert ExtremePoints(SIX, name).frame is Frame(name.strip().lower())  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["", "ijk", "lpi", "world"])
def test_an_unknown_frame_is_refused_by_naming_the_known_ones(name: str) -> None:
    with pytest.raises(PromptError, match="expected one of 'voxel', 'lps', 'ras'") as caught:
        ExtremePoints(SIX, name)  # type: ignore[arg-type]
    assert [violation.field for violation in caught.value.violations] == ["frame"]


@pytest.mark.parametrize(
    "point",
    [(math.nan, 1, 2), (1, math.inf, 2), (1, 2), (1, 2, 3, 4), (), 5, ("a", "b", "c"), (1, 2, None)],
    ids=str,
)
def test_a_point_that_is_not_three_finite_numbers_is_refused(point: Any) -> None:
    with pytest.raises(PromptError, match="point 2: expected three finite numbers") as caught:
        ExtremePoints([*SIX[:2], point, *SIX[3:]])
    assert [violation.field for violation in caught.value.violations] == ["points[2]"]


def test_points_may_be_an_array() -> None:
    prompt = ExtremePoints(np.array(SIX))
    assert prompt == ExtremePoints(SIX)


# Boxes

LOWER, UPPER = (10, 15, 5), (30, 35, 25)


def test_a_box_is_its_lower_and_upper_corner() -> None:
    assert Box(LOWER, UPPER).to_index(GEOMETRY).tolist() == [list(LOWER), list(UPPER)]


@pytest.mark.parametrize("swapped", [(0,), (1,), (2,), (0, 1), (0, 1, 2)])
def test_any_two_opposite_corners_are_the_same_box(swapped: tuple[int, ...]) -> None:
    lower, upper = list(LOWER), list(UPPER)
    for axis in swapped:
        lower[axis], upper[axis] = upper[axis], lower[axis]
    box = Box((lower[0], lower[1], lower[2]), (upper[0], upper[1], upper[2]))
    assert np.array_equal(box.to_index(GEOMETRY), Box(LOWER, UPPER).to_index(GEOMETRY))


@pytest.mark.parametrize("frame", [Frame.LPS, Frame.RAS])
def test_a_box_in_the_patients_millimetres_is_the_same_box(frame: Frame) -> None:
    corners = np.round(GEOMETRY.index_to_point([LOWER, UPPER]), 2) * ([-1, -1, 1] if frame is Frame.RAS else 1)
    lower, upper = corners.tolist()
    np.testing.assert_array_equal(Box(lower, upper, frame).to_index(GEOMETRY), [LOWER, UPPER])


@pytest.mark.parametrize("axis", range(3))
@pytest.mark.parametrize("distance", [0.0, 0.4, -0.4])
def test_a_flat_box_is_refused(axis: int, distance: float) -> None:
    upper = list(map(float, UPPER))
    upper[axis] = LOWER[axis] + distance
    with pytest.raises(PromptError, match="the box is flat: its corners are") as caught:
        Box(LOWER, (upper[0], upper[1], upper[2])).to_index(GEOMETRY)
    assert [violation.field for violation in caught.value.violations] == ["upper"]


def test_a_box_of_two_slices_is_thick_enough() -> None:
    assert Box((10, 15, 5), (30, 35, 6)).to_index(GEOMETRY).shape == (2, 3)


def test_a_corner_outside_the_image_is_named_with_the_bounds() -> None:
    with pytest.raises(PromptError, match=r"1 of 2 corners lie outside .*z -0.5..29.5: upper at voxel \(30, 35, 31\)"):
        Box(LOWER, (30, 35, 31)).to_index(GEOMETRY)


@pytest.mark.parametrize("field", ["lower", "upper"])
@pytest.mark.parametrize("corner", [(math.nan, 1, 2), (1, 2), 5, ("a", "b", "c")], ids=str)
def test_a_corner_that_is_not_three_finite_numbers_is_refused(field: str, corner: Any) -> None:
    with pytest.raises(PromptError, match=f"box, {field} corner: expected three finite numbers") as caught:
        Box(**({"lower": LOWER, "upper": UPPER} | {field: corner}))
    assert [violation.field for violation in caught.value.violations] == [field]


# Clicks


def test_a_click_is_one_index_and_positive_unless_it_is_said() -> None:
    assert Click((10, 25, 15)).positive is True
    assert Click((10.3, 25, 15), False).to_index(GEOMETRY).tolist() == [[pytest.approx(10.3, abs=1 / 128), 25, 15]]


@pytest.mark.parametrize("frame", [Frame.LPS, Frame.RAS])
def test_a_click_in_the_patients_millimetres_is_the_voxel_that_was_meant(frame: Frame) -> None:
    ((x, y, z),) = np.round(GEOMETRY.index_to_point([(10, 25, 15)]), 2) * ([-1, -1, 1] if frame is Frame.RAS else 1)
    assert Click((x, y, z), frame=frame).to_index(GEOMETRY).tolist() == [[10, 25, 15]]


@pytest.mark.parametrize("point", [(-0.51, 25, 15), (39.51, 25, 15), (1e300, 0, 0)])
def test_a_click_outside_the_image_is_named_with_the_bounds(point: tuple[float, float, float]) -> None:
    with pytest.raises(
        PromptError, match=r"the click lies outside the image.*x -0.5..39.5.*: point at voxel"
    ) as caught:
        Click(point).to_index(GEOMETRY)
    assert [violation.field for violation in caught.value.violations] == ["point"]


def test_a_sign_may_be_numpys() -> None:
    assert Click((1, 2, 3), np.False_) == Click((1, 2, 3), False)  # type: ignore[arg-type]


@pytest.mark.parametrize("positive", ["lps", None, 2, Frame.RAS])
def test_a_sign_that_is_neither_true_nor_false_is_refused(positive: Any) -> None:
    with pytest.raises(PromptError, match="positive must be True or False"):
        Click((1, 2, 3), positive)


@pytest.mark.parametrize("point", [(math.nan, 1, 2), (1, 2), None], ids=str)
def test_a_click_that_is_not_three_finite_numbers_is_refused(point: Any) -> None:
    with pytest.raises(PromptError, match="click: expected three finite numbers"):
        Click(point)


@pytest.mark.parametrize("make", [lambda f: Box(LOWER, UPPER, f), lambda f: Click(LOWER, frame=f)])
def test_boxes_and_clicks_name_their_frame_as_points_do(make: Any) -> None:
    assert make(" LPS ").frame is Frame.LPS
    with pytest.raises(PromptError, match="expected one of 'voxel', 'lps', 'ras'"):
        make("world")


# From a mask


@given(st.integers(0, 10_000))
def test_the_points_of_a_mask_lie_in_it_and_touch_every_face_of_its_box(seed: int) -> None:
    random = np.random.default_rng(seed)
    mask = random.random(random.integers(1, 9, 3)) < 0.3
    mask.flat[random.integers(mask.size)] = True
    points = np.array(ExtremePoints.of_mask(mask).points)
    filled = np.argwhere(mask)[:, ::-1]
    assert mask[tuple(points[:, ::-1].astype(int).T)].all()
    assert points[0::2].diagonal().tolist() == filled.min(axis=0).tolist()
    assert points[1::2].diagonal().tolist() == filled.max(axis=0).tolist()


def test_the_points_of_an_ellipsoid_are_its_poles() -> None:
    z, y, x = np.ogrid[:21, :31, :41]
    mask = ((x - 20) / 15) ** 2 + ((y - 15) / 10) ** 2 + ((z - 10) / 5) ** 2 <= 1
    assert ExtremePoints.of_mask(mask).points == (
        (5, 15, 10),
        (35, 15, 10),
        (20, 5, 10),
        (20, 25, 10),
        (20, 15, 5),
        (20, 15, 15),
    )


def test_any_number_but_zero_is_the_object() -> None:
    labels = np.zeros((5, 5, 5), np.uint8)
    labels[1:4, 1:4, 1:4] = 200
    assert ExtremePoints.of_mask(labels) == ExtremePoints.of_mask(labels > 0)


def test_an_empty_mask_has_no_points() -> None:
    with pytest.raises(PromptError, match="empty mask"):
        ExtremePoints.of_mask(np.zeros((4, 4, 4), bool))
