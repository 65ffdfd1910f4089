from __future__ import annotations

import itertools
import math
import struct

import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import given
from hypothesis import strategies as st

from sixpoint.errors import VolumeError
from sixpoint.geometry import Geometry, Orientation
from tests.sixpoint.geometries import AXIS_ORDERS, geometries, reordered, rotation

ORIENTATIONS = [Orientation(axes, flips) for axes, flips in AXIS_ORDERS]  # type: ignore[arg-type]
indices = st.lists(st.tuples(*[st.floats(-100, 100)] * 3), min_size=1, max_size=5)


def matrix(geometry: Geometry) -> np.ndarray:
    return np.array(geometry.direction).reshape(3, 3)


def test_an_index_becomes_the_point_worked_out_by_hand() -> None:
    # x runs to Posterior, y to the Right, z to Superior.
    geometry = Geometry((10, 20, 30), (1, 2, 3), (-5, 4, 7), (0, -1, 0, 1, 0, 0, 0, 0, 1))
    assert geometry.index_to_point([(2, 3, 4)]).tolist() == [[-5 - 6, 4 + 2, 7 + 12]]


def test_the_origin_is_the_centre_of_the_first_voxel() -> None:
    geometry = Geometry((4, 4, 4), (2, 2, 2), (1, 2, 3))
    assert geometry.index_to_point([(0, 0, 0)]).tolist() == [[1, 2, 3]]
    assert geometry.point_to_index([(0, 1, 2)]).tolist() == [[-0.5, -0.5, -0.5]]


@given(geometries(), indices)
def test_points_are_where_itk_says(geometry: Geometry, index: list[tuple[float, float, float]]) -> None:
    image = sitk.Image(geometry.size, sitk.sitkUInt8)
    image.SetSpacing(geometry.spacing)
    image.SetOrigin(geometry.origin)
    image.SetDirection(geometry.direction)
    expected = [image.TransformContinuousIndexToPhysicalPoint(one) for one in index]
    np.testing.assert_allclose(geometry.index_to_point(index), expected, rtol=0, atol=1e-9)


@given(geometries(), indices)
def test_indices_survive_the_way_to_points_and_back(
    geometry: Geometry, index: list[tuple[float, float, float]]
) -> None:
    there_and_back = geometry.point_to_index(geometry.index_to_point(index))
    np.testing.assert_allclose(there_and_back, index, rtol=0, atol=1e-9)


def test_indices_survive_the_way_to_points_and_back_when_the_axes_are_rounded() -> None:
    rough = np.round(rotation(0.9, 0.1, -0.3, 0.2), 3)
    geometry = Geometry((9, 9, 9), (0.7, 0.7, 5), (10, -20, 30), tuple(rough.reshape(-1)))  # type: ignore[arg-type]
    index = [(500.0, -300.0, 200.0)]
    np.testing.assert_allclose(geometry.point_to_index(geometry.index_to_point(index)), index, rtol=0, atol=1e-9)


def test_one_voxel_of_a_cubic_centimetre_is_a_millilitre() -> None:
    assert Geometry((1, 1, 1), (10, 10, 10)).voxel_volume_ml == 1
    assert Geometry((5, 5, 5), (0.5, 2, 3)).voxel_volume_ml == pytest.approx(0.003)


def test_shape_is_size_backwards() -> None:
    assert Geometry((2, 3, 4)).shape == (4, 3, 2)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"size": (1, 2)}, "size needs 3 numbers, got 2"),
        ({"size": (0, 2, 2)}, "size must be positive"),
        ({"size": (-1, 2, 2)}, "size must be positive"),
        ({"size": (2.5, 2, 2)}, "size must be 3 whole numbers"),
        ({"size": (math.nan, 2, 2)}, "size must be 3 whole numbers"),
        ({"size": (2, 2, 2**40)}, "size exceeds 2147483647 voxels"),
        ({"size": (2, 2, -(10**400))}, "size exceeds 2147483647 voxels"),
        ({"spacing": (1, 1)}, "spacing needs 3 numbers"),
        ({"spacing": (1, 0, 1)}, "spacing must be positive"),
        ({"spacing": (1, -1, 1)}, "spacing must be positive"),
        ({"spacing": (1, math.nan, 1)}, "spacing has a number that is not finite"),
        ({"spacing": (1, "wide", 1)}, "spacing must be 3 numbers"),
        ({"origin": (0, 0, math.inf)}, "origin has a number that is not finite"),
        ({"direction": (1, 0, 0)}, "direction needs 9 numbers"),
        ({"direction": (2, 0, 0, 0, 1, 0, 0, 0, 1)}, "orthogonal unit vectors"),
        ({"direction": (1, 0.1, 0, 0, 1, 0, 0, 0, 1)}, "orthogonal unit vectors"),
        ({"direction": (0,) * 9}, "orthogonal unit vectors"),
        ({"direction": (1e308, 1e308, 0, 1e308, -1e308, 0, 0, 0, 1)}, "orthogonal unit vectors"),
        ({"direction": (1, 0, 0, 1, 0, 0, 0, 0, 1)}, "orthogonal unit vectors"),
    ],
)
def test_numbers_that_make_no_geometry_are_refused(values: dict[str, tuple[float, ...]], expected: str) -> None:
    with pytest.raises(VolumeError, match=expected):
        Geometry(**({"size": (2, 2, 2)} | values))  # type: ignore[arg-type]


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"spacing": (1, 1e300, 1)}, "spacing"),
        ({"spacing": (1e150, 1e150, 1e150)}, "spacing"),
        ({"spacing": (5e-324, 1, 1)}, "spacing"),
        ({"spacing": (1e-7, 1, 1)}, "spacing"),
        ({"spacing": (1, 10**400, 1)}, "spacing"),
        ({"size": (2_000_000, 2, 2)}, "spacing"),
        ({"origin": (0, -1e300, 0)}, "origin"),
        ({"origin": (0, 1.7e308, 1.7e308), "direction": (0, 1, 0, 1, 0, 0, 0, 0, 1)}, "origin"),
        ({"origin": (0, 0, 1e6)}, "origin"),
    ],
)
def test_positions_that_no_scanner_gives_are_refused_by_the_name_of_their_field(
    values: dict[str, tuple[float, ...]], field: str
) -> None:
    with pytest.raises(VolumeError, match=f"geometry: {field}") as caught:
        Geometry(**({"size": (2, 2, 2)} | values))  # type: ignore[arg-type]
    assert [violation.field for violation in caught.value.violations] == [field]


@pytest.mark.parametrize(
    "values",
    [
        {"spacing": (4e-6, 4e-6, 3e-5)},
        {"spacing": (1, 1, 20_000)},
        {"origin": (-40_000, 9e5, 0)},
        {"origin": (5e-324, 0, 0)},
    ],
    ids=["electron microscope", "whole bodies, micrometres taken for mm", "far from the origin", "subnormal"],
)
def test_odd_but_possible_positions_are_taken(values: dict[str, tuple[float, float, float]]) -> None:
    geometry = Geometry((40, 40, 40), **values)  # type: ignore[arg-type]
    assert geometry.voxel_volume_ml > 0
    assert geometry.canonical().point_to_index(geometry.origin).tolist() == [pytest.approx([0, 0, 0])]


def test_axes_may_be_as_rough_as_files_store_them() -> None:
    rough = Geometry((2, 2, 2), direction=(0.9999, 0, 0, 0, 1, 0.0004, 0, -0.0004, 1))
    assert rough.point_to_index(rough.index_to_point([[1, 1, 1]])) == pytest.approx(np.ones((1, 3)))


def test_mirrored_axes_are_a_geometry() -> None:
    assert Geometry((2, 2, 2), direction=(-1, 0, 0, 0, 1, 0, 0, 0, 1)).orientation.flips == (True, False, False)


def test_numbers_of_numpy_are_kept_as_pythons_own() -> None:
    geometry = Geometry(tuple(np.array([1, 2, 3])), tuple(np.ones(3, np.float32)))  # type: ignore[arg-type]
    assert [type(value) for value in geometry.size] == [int] * 3
    assert [type(value) for value in geometry.spacing] == [float] * 3


def test_an_image_stored_like_nifti_is_reversed_in_x_and_y() -> None:
    ras = Geometry((4, 5, 6), direction=(-1, 0, 0, 0, -1, 0, 0, 0, 1))
    assert ras.orientation == Orientation((0, 1, 2), (True, True, False))


@given(geometries())
def test_the_canonical_direction_is_the_closest_to_identity(geometry: Geometry) -> None:
    axes = matrix(geometry)
    distances = [
        np.linalg.norm(axes[:, list(order)] * signs - np.eye(3))
        for order in itertools.permutations(range(3))
        for signs in itertools.product((-1, 1), repeat=3)
    ]
    # To five digits, so that ties are seen as such.
    assert np.linalg.norm(matrix(geometry.canonical()) - np.eye(3)) == pytest.approx(min(distances), abs=1e-4)


@pytest.mark.parametrize("digits", [6, 15])
@pytest.mark.parametrize("axis", range(3))
def test_halfway_between_two_axes_the_canonical_view_does_not_depend_on_the_order_of_storage(
    axis: int, digits: int
) -> None:
    turn = np.roll(np.array([[0.5**0.5, -(0.5**0.5), 0], [0.5**0.5, 0.5**0.5, 0], [0, 0, 1]]), axis, axis=(0, 1))
    first = Geometry((10, 20, 30), (1, 2, 3), (4, 5, 6), tuple(np.round(turn, digits).reshape(-1)))
    array = np.arange(6000).reshape(first.shape)
    seen = first.orientation.to_canonical(array)
    for axes, flips in AXIS_ORDERS:
        stored, geometry = reordered(array, first, axes, flips)
        assert geometry.canonical().same_grid(first.canonical(), tolerance=1e-9)
        assert np.array_equal(geometry.orientation.to_canonical(stored), seen)


@given(geometries())
def test_what_is_canonical_stays_as_it_is(geometry: Geometry) -> None:
    canonical = geometry.canonical()
    assert canonical.orientation == Orientation((0, 1, 2), (False, False, False))
    assert canonical.canonical() == canonical


@given(geometries(), indices)
def test_a_canonical_index_is_the_same_place_in_the_patient(
    geometry: Geometry, index: list[tuple[float, float, float]]
) -> None:
    canonical = geometry.orientation.index_to_canonical(index, size=geometry.size)
    np.testing.assert_allclose(
        geometry.canonical().index_to_point(canonical), geometry.index_to_point(index), rtol=0, atol=1e-9
    )


@given(geometries(largest=6))
def test_every_voxel_keeps_its_place_in_the_patient_when_seen_in_canonical_order(geometry: Geometry) -> None:
    array = np.arange(math.prod(geometry.size)).reshape(geometry.shape)
    seen = geometry.orientation.to_canonical(array)
    canonical = geometry.canonical()
    assert seen.shape == canonical.shape
    for z, y, x in np.ndindex(*array.shape):
        ((i, j, k),) = np.rint(canonical.point_to_index(geometry.index_to_point([(x, y, z)]))).astype(int).tolist()
        assert seen[k, j, i] == array[z, y, x]


@pytest.mark.parametrize("orientation", ORIENTATIONS, ids=str)
def test_the_ways_to_canonical_order_and_back_are_inverses(orientation: Orientation) -> None:
    array = np.arange(2 * 3 * 4).reshape(2, 3, 4)
    assert np.array_equal(orientation.from_canonical(orientation.to_canonical(array)), array)
    assert np.array_equal(orientation.to_canonical(orientation.from_canonical(array)), array)


@pytest.mark.parametrize("orientation", ORIENTATIONS, ids=str)
def test_the_ways_to_canonical_order_and_back_copy_nothing(orientation: Orientation) -> None:
    array = np.arange(2 * 3 * 4).reshape(2, 3, 4)
    assert np.shares_memory(orientation.to_canonical(array), array)
    assert np.shares_memory(orientation.from_canonical(array), array)


@pytest.mark.parametrize("orientation", ORIENTATIONS, ids=str)
def test_a_canonical_index_finds_the_voxel_in_the_canonical_array(orientation: Orientation) -> None:
    array = np.arange(2 * 3 * 4).reshape(2, 3, 4)
    seen = orientation.to_canonical(array)
    for z, y, x in np.ndindex(*array.shape):
        ((i, j, k),) = orientation.index_to_canonical([(x, y, z)], size=(4, 3, 2)).astype(int).tolist()
        assert seen[k, j, i] == array[z, y, x]


@given(st.sampled_from(ORIENTATIONS), st.data())
def test_a_canonical_box_is_the_same_voxels_in_the_images_own_order(
    orientation: Orientation, data: st.DataObject
) -> None:
    size = (4, 5, 6)
    array = np.zeros(size[::-1], int)
    seen = orientation.to_canonical(array)
    lower = data.draw(st.tuples(*[st.integers(0, n) for n in seen.shape[::-1]]))
    upper = data.draw(st.tuples(*[st.integers(a, n) for a, n in zip(lower, seen.shape[::-1], strict=True)]))
    seen[tuple(slice(a, b) for a, b in zip(lower[::-1], upper[::-1], strict=True))] = 1

    own_lower, own_upper = orientation.box_from_canonical(lower, upper, size=size)

    piece = array[tuple(slice(a, b) for a, b in zip(own_lower[::-1], own_upper[::-1], strict=True))]
    assert piece.size == array.sum()
    assert piece.all()


def test_the_same_grid_to_a_tolerance_is_the_same_grid() -> None:
    geometry = Geometry((2, 3, 4), (1, 1, 2), (5, 6, 7))
    assert geometry.same_grid(Geometry((2, 3, 4), (1, 1, 2), (5, 6, 7.00005)))
    assert not geometry.same_grid(Geometry((2, 3, 4), (1, 1, 2), (5, 6, 7.001)))
    assert not geometry.same_grid(Geometry((2, 3, 5), (1, 1, 2), (5, 6, 7)))
    assert not geometry.same_grid(Geometry((2, 3, 4), (1, 1, 2), (5, 6, 7), (-1, 0, 0, 0, 1, 0, 0, 0, 1)))


def test_a_geometry_is_packed_as_the_contract_says() -> None:
    packed = Geometry((2, 3, 4), (0.5, 0.6, 0.7), (-1, -2, -3), (-1, 0, 0, 0, 1, 0, 0, 0, 1)).packed()
    assert len(packed) == 144
    assert struct.unpack_from("<qqq", packed) == (2, 3, 4)
    assert struct.unpack_from("<15d", packed, 24) == (0.5, 0.6, 0.7, -1, -2, -3, -1, 0, 0, 0, 1, 0, 0, 0, 1)
