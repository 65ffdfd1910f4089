import itertools

import numpy as np
import pytest

from gateway.core.processing import decode_probabilities, keep_touched, prepare, restore
from sixpoint.geometry import Geometry
from sixpoint.mask import pack, unpack
from tests.harness import ELLIPSOID_SPEC, noisy_volume

POINTS = np.array([[8, 17, 16], [31, 18, 15], [20, 7, 15], [19, 28, 17], [20, 18, 6], [21, 17, 25]], float)


def answer(tensor: np.ndarray) -> np.ndarray:
    """What the test model answers: the sigmoid of ten times the ellipsoid channel."""
    return np.rint(255 / (1 + np.exp(-10 * tensor[-1:].astype(np.float32)))).astype(np.uint8)


def annotate(array: np.ndarray, geometry: Geometry, points: np.ndarray) -> np.ndarray:
    canonical = geometry.orientation.to_canonical(array)
    prepared = prepare(canonical, points, geometry=geometry, spec=ELLIPSOID_SPEC)
    grid = decode_probabilities(answer(prepared.tensor))
    piece, offset = restore(grid, prepared, geometry=geometry, threshold=0.5)
    return unpack(pack(piece, offset), geometry.size)


def test_the_mask_is_the_ellipsoid_that_the_model_answered():
    volume = noisy_volume()
    mask = annotate(volume.array, volume.geometry, POINTS)
    z, y, x = np.indices(mask.shape)
    truth = ((x - 19.5) / 11.5) ** 2 + ((y - 17.5) / 10.5) ** 2 + ((z - 15.5) / 9.5) ** 2 < 1
    shared = np.count_nonzero((mask > 0) & truth)
    assert 2 * shared / (mask.sum() + truth.sum()) > 0.97
    assert mask[tuple(np.rint(POINTS.mean(axis=0)).astype(int)[::-1])] == 1


@pytest.mark.parametrize("flips", list(itertools.product((False, True), repeat=3)))
@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_every_axis_order_gives_the_same_mask_to_the_bit(order: tuple[int, int, int], flips: tuple[bool, bool, bool]):
    volume = noisy_volume()
    reference = annotate(volume.array, volume.geometry, POINTS)
    # The same patient, stored with index axis k running along patient axis order[k], backwards where flipped.
    size = [volume.geometry.size[axis] for axis in order]
    direction, origin = np.zeros((3, 3)), np.zeros(3)
    for k, axis in enumerate(order):
        direction[axis, k] = -1.0 if flips[k] else 1.0
        origin[axis] = volume.geometry.size[axis] - 1 if flips[k] else 0.0
    geometry = Geometry(size=tuple(size), origin=tuple(origin), direction=tuple(direction.reshape(-1)))

    def stored(array: np.ndarray) -> np.ndarray:
        turned = array.transpose([2 - order[2 - a] for a in range(3)])
        return turned[tuple(slice(None, None, -1 if flips[2 - a] else 1) for a in range(3))]

    points = np.stack(
        [size[k] - 1 - POINTS[:, axis] if flips[k] else POINTS[:, axis] for k, axis in enumerate(order)], axis=1
    )
    mask = annotate(np.ascontiguousarray(stored(volume.array)), geometry, points)
    assert np.array_equal(mask, stored(reference))


def test_an_object_at_the_image_s_border_keeps_its_place():
    volume = noisy_volume()
    points = POINTS + np.array([-8, 0, 0])
    mask = annotate(volume.array, volume.geometry, points)
    assert mask[16, 17, 1] == 1
    assert mask[:, :, 24:].sum() == 0


def grid_with(*blocks: tuple[int, int, int]) -> np.ndarray:
    grid = np.zeros((32, 32, 32), np.float32)
    for z, y, x in blocks:
        grid[z : z + 6, y : y + 6, x : x + 6] = 0.9
    return grid


def in_frame(cells: list[tuple[int, int, int]]) -> np.ndarray:
    """Points (x, y, z) in the ROI's frame, of cells (z, y, x)."""
    return (2 * (np.array(cells, float)[:, ::-1] + 0.5) / 32) - 1


def test_a_component_that_no_point_touches_is_dropped():
    kept = keep_touched(grid_with((4, 4, 4), (20, 20, 20)), in_frame([(6, 6, 3)]), 0.5)
    assert np.array_equal(kept, grid_with((4, 4, 4)))


def test_all_components_that_points_touch_are_kept():
    grid = grid_with((4, 4, 4), (20, 20, 20))
    assert np.array_equal(keep_touched(grid, in_frame([(6, 6, 3), (22, 22, 26)]), 0.5), grid)


def test_without_any_touched_component_the_largest_is_kept():
    grid = grid_with((4, 4, 4), (20, 20, 20))
    grid[26, 20:26, 20:26] = 0.9
    kept = keep_touched(grid, in_frame([(30, 2, 2)]), 0.5)
    assert kept[4:10].max() == 0
    assert kept[22, 22, 22] == np.float32(0.9)


def test_an_unsure_answer_is_cut_at_half_its_maximum_and_not_empty():
    volume = noisy_volume()
    prepared = prepare(volume.array, POINTS, geometry=volume.geometry, spec=ELLIPSOID_SPEC)
    unsure = np.zeros((64, 64, 64), np.float32)
    unsure[28:36, 28:36, 28:36] = 0.3
    piece, _ = restore(unsure, prepared, geometry=volume.geometry, threshold=0.5)
    assert 10 < piece.sum() < 400


def test_an_answer_of_zeros_is_an_empty_mask():
    volume = noisy_volume()
    prepared = prepare(volume.array, POINTS, geometry=volume.geometry, spec=ELLIPSOID_SPEC)
    piece, offset = restore(np.zeros((64, 64, 64), np.float32), prepared, geometry=volume.geometry, threshold=0.5)
    assert pack(piece, offset).voxel_count == 0


def test_uint8_counts_in_255ths_and_floats_are_taken_as_they_are():
    assert decode_probabilities(np.array([[[[255, 51]]]], np.uint8)).tolist() == [[[1.0, pytest.approx(0.2)]]]
    assert decode_probabilities(np.array([[[[0.25]]]], np.float16)).tolist() == [[[0.25]]]
