import numpy as np
import pytest

from gateway.core.annotation.postprocess import keep_touched_components, postprocess, render_mask
from gateway.core.annotation.preprocess import NetworkInput, Prediction, prepare
from gateway.core.annotation.prompt_state import ObjectPrompts, accumulate, read_prompts
from gateway.core.images.reductions import Reductions
from gateway.core.runtime.inference import decode_probabilities
from sixpoint.geometry import Geometry
from sixpoint.mask import pack, unpack
from sixpoint.model_spec import ModelSpec
from sixpoint.preprocessing import Roi
from sixpoint.prompts import Box, Click, ExtremePoints, Prompt
from sixpoint.volume import Volume
from tests.sixpoint.geometries import AXIS_ORDERS, reordered
from tests.support.images import noisy_volume
from tests.support.models import CLICKS_SPEC, ELLIPSOID_SPEC, clicks_answer

POINTS = np.array([[8, 17, 16], [31, 18, 15], [20, 7, 15], [19, 28, 17], [20, 18, 6], [21, 17, 25]], float)
SIX = ExtremePoints(POINTS.tolist())
BOX = Box((8, 7, 6), (31, 28, 25))


def shown(*prompts: Prompt, geometry: Geometry) -> ObjectPrompts:
    return accumulate(None, read_prompts(prompts, geometry=geometry))


def ready(
    *prompts: Prompt, volume: Volume, spec: ModelSpec = ELLIPSOID_SPEC, answered: Prediction | None = None
) -> NetworkInput:
    geometry = volume.geometry
    canonical = geometry.orientation.to_canonical(volume.array)
    return prepare(
        Reductions(canonical), shown(*prompts, geometry=geometry), previous=answered, geometry=geometry, spec=spec
    )


def whole_mask(grid: np.ndarray, prepared: NetworkInput, geometry: Geometry) -> np.ndarray:
    """What a person gets for a network's probabilities: uint8 [z, y, x] on the image's own grid."""
    answered = postprocess(grid, prepared, geometry=geometry, threshold=0.5)
    piece, offset = render_mask(answered, prepared.prompts, geometry=geometry, threshold=0.5)
    return unpack(pack(piece, offset), geometry.size)


def annotate(array: np.ndarray, geometry: Geometry, *prompts: Prompt) -> np.ndarray:
    prepared = ready(*prompts, volume=Volume(array, geometry), spec=CLICKS_SPEC)
    return whole_mask(decode_probabilities(clicks_answer(prepared.tensor)[0]), prepared, geometry)


def test_the_mask_is_the_ellipsoid_that_the_model_answered():
    volume = noisy_volume()
    mask = annotate(volume.array, volume.geometry, SIX)
    z, y, x = np.indices(mask.shape)
    truth = ((x - 19.5) / 11.5) ** 2 + ((y - 17.5) / 10.5) ** 2 + ((z - 15.5) / 9.5) ** 2 < 1
    shared = np.count_nonzero((mask > 0) & truth)
    assert 2 * shared / (mask.sum() + truth.sum()) > 0.97
    assert mask[tuple(np.rint(POINTS.mean(axis=0)).astype(int)[::-1])] == 1


@pytest.mark.parametrize("start", [SIX, BOX], ids=["points", "box"])
@pytest.mark.parametrize(
    "clicks",
    [(), (Click((4, 17, 16)), Click((20, 18, 15), False), Click((38.4, 2, 30.75)))],
    ids=["no clicks", "clicks"],
)
def test_every_axis_order_gives_the_same_mask_to_the_bit(start: Prompt, clicks: tuple[Click, ...]):
    volume = noisy_volume()
    reference = annotate(volume.array, volume.geometry, start, *clicks)
    assert reference.any()

    def moved(point: tuple[float, float, float]) -> tuple[float, float, float]:
        ((x, y, z),) = geometry.point_to_index(volume.geometry.index_to_point([point])).tolist()
        return x, y, z

    for axes, flips in AXIS_ORDERS:
        array, geometry = reordered(volume.array, volume.geometry, axes, flips)
        other = (
            ExtremePoints([moved(p) for p in SIX.points]) if start is SIX else Box(moved(BOX.lower), moved(BOX.upper))
        )
        mask = annotate(array, geometry, other, *(Click(moved(c.point), c.positive) for c in clicks))
        assert np.array_equal(mask, reordered(reference, volume.geometry, axes, flips)[0])


def test_an_object_at_the_image_s_border_keeps_its_place():
    volume = noisy_volume()
    points = POINTS + np.array([-8, 0, 0])
    mask = annotate(volume.array, volume.geometry, ExtremePoints(points.tolist()))
    assert mask[16, 17, 1] == 1
    assert mask[:, :, 24:].sum() == 0


def grid_with(*blocks: tuple[int, int, int]) -> np.ndarray:
    grid = np.zeros((32, 32, 32), np.uint8)
    for z, y, x in blocks:
        grid[z : z + 6, y : y + 6, x : x + 6] = 230
    return grid


def in_frame(cells: list[tuple[int, int, int]]) -> np.ndarray:
    """Points (x, y, z) in the ROI's frame, of cells (z, y, x)."""
    return (2 * (np.array(cells, float)[:, ::-1] + 0.5) / 32) - 1


NONE = np.empty((0, 3))


def test_a_component_that_no_point_touches_is_dropped():
    kept = keep_touched_components(
        grid_with((4, 4, 4), (20, 20, 20)), in_frame([(6, 6, 3)]), clicks=NONE, threshold=0.5
    )
    assert np.array_equal(kept, grid_with((4, 4, 4)))


def test_all_components_that_points_or_clicks_touch_are_kept():
    grid, first, second = grid_with((4, 4, 4), (20, 20, 20)), [(6, 6, 3)], [(22, 22, 26)]
    assert np.array_equal(keep_touched_components(grid, in_frame(first + second), clicks=NONE, threshold=0.5), grid)
    assert np.array_equal(keep_touched_components(grid, in_frame(first), clicks=in_frame(second), threshold=0.5), grid)


def test_without_any_touched_component_the_largest_is_kept():
    grid = grid_with((4, 4, 4), (20, 20, 20))
    grid[26, 20:26, 20:26] = 230
    for extremes in (in_frame([(30, 2, 2)]), NONE):
        kept = keep_touched_components(grid, extremes, clicks=NONE, threshold=0.5)
        assert kept[4:10].max() == 0
        assert kept[22, 22, 22] == 230


@pytest.mark.parametrize("extremes", [in_frame([(30, 2, 2)]), NONE], ids=["points that miss", "a box"])
def test_a_click_on_a_missed_part_does_not_cost_the_largest(extremes: np.ndarray):
    grid = grid_with((4, 4, 4), (20, 20, 20), (4, 20, 20))
    grid[26, 20:26, 20:26] = 230
    kept = keep_touched_components(grid, extremes, clicks=in_frame([(6, 6, 6)]), threshold=0.5)
    assert kept[22, 22, 22] == kept[6, 6, 6] == 230
    assert kept[6, 22, 22] == 0


@pytest.mark.parametrize("threshold", [0.5, 0.8])
def test_an_unsure_answer_is_cut_at_half_its_maximum_and_not_empty(threshold: float):
    prepared = ready(SIX, volume=noisy_volume())
    unsure = np.zeros((64, 64, 64), np.float32)
    unsure[28:36, 28:36, 28:36] = 0.3
    answered = postprocess(unsure, prepared, geometry=noisy_volume().geometry, threshold=threshold)
    piece, _ = render_mask(answered, prepared.prompts, geometry=noisy_volume().geometry, threshold=threshold)
    assert 10 < piece.sum() < 400
    assert answered.probabilities.max() == min(255, round(2 * threshold * 255))


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_a_sure_answer_is_cut_at_the_threshold_of_its_model_though_it_be_above_a_half(dtype: type):
    volume = noisy_volume()
    prepared = ready(SIX, volume=volume)
    counts = np.full((64, 64, 64), 153, np.uint8)  # 0.6 everywhere
    counts[28:36, 28:36, 28:36] = 255
    grid = counts if dtype is np.uint8 else counts.astype(np.float32) / np.float32(255)
    answered = postprocess(grid, prepared, geometry=volume.geometry, threshold=0.8)
    assert np.array_equal(answered.probabilities, counts)
    piece, _ = render_mask(answered, prepared.prompts, geometry=volume.geometry, threshold=0.8)
    assert 10 < piece.sum() < 400


def test_an_answer_of_zeros_is_an_empty_mask():
    volume = noisy_volume()
    assert not whole_mask(np.zeros((64, 64, 64), np.float32), ready(SIX, volume=volume), volume.geometry).any()


def test_probabilities_that_rounding_put_beyond_0_and_1_are_0_and_1():
    volume = noisy_volume()
    prepared = ready(SIX, volume=volume)
    grid = np.full((64, 64, 64), -0.01, np.float32)
    grid[20:44, 20:44, 20:44] = 1.01
    answered = postprocess(grid, prepared, geometry=volume.geometry, threshold=0.5)
    assert np.array_equal(answered.probabilities, np.where(grid > 0, 255, 0))


# Clicks


def test_a_click_outside_the_roi_makes_it_grow_and_takes_the_answer_along():
    volume = noisy_volume((120, 36, 32))
    first = ready(SIX, volume=volume, spec=CLICKS_SPEC)
    grid = decode_probabilities(clicks_answer(first.tensor)[0])
    answered = postprocess(grid, first, geometry=volume.geometry, threshold=0.5)
    second = ready(SIX, Click((110, 17, 16)), volume=volume, spec=CLICKS_SPEC, answered=answered)
    assert second.roi.upper[0] > 110.5 > first.roi.upper[0]
    expected = answered.roi.transfer(decode_probabilities(answered.probabilities), second.roi)
    assert np.array_equal(second.guidance.previous, expected)
    assert second.tensor[4].max() > 0.9
    mask = whole_mask(decode_probabilities(clicks_answer(second.tensor)[0]), second, volume.geometry)
    assert mask[16, 17, 110] == 1
    assert mask[16, 17, 20] == 1


def test_a_click_inside_the_roi_leaves_it_and_the_previous_answer_as_they_are():
    volume = noisy_volume()
    first = ready(SIX, volume=volume, spec=CLICKS_SPEC)
    answered = postprocess(
        np.random.default_rng(0).random((64, 64, 64), np.float32), first, geometry=volume.geometry, threshold=0.5
    )
    second = ready(SIX, Click((20, 17, 16)), volume=volume, spec=CLICKS_SPEC, answered=answered)
    assert second.roi == first.roi
    assert np.array_equal(second.guidance.previous, decode_probabilities(answered.probabilities))
    # What does not change keeps its very counts: all but the cells of a click that is violated.
    third = postprocess(second.guidance.previous, second, geometry=volume.geometry, threshold=0.5)
    assert np.count_nonzero(third.probabilities != answered.probabilities) <= 64


def test_a_voxel_whose_centre_lies_beyond_the_roi_can_be_clicked_at_its_near_face():
    volume = noisy_volume()
    roi = ready(SIX, volume=volume).roi
    voxel = int(np.floor(roi.lower[0]))
    near_face = (voxel + 0.49, 17.0, 16.0)
    assert voxel < roi.lower[0] <= near_face[0]
    mask = annotate(volume.array, volume.geometry, SIX, Click(near_face))
    assert mask[16, 17, voxel] == 1


@pytest.mark.parametrize("size", [(40, 36, 32), (130, 110, 90)], ids=["finer grid", "coarser grid"])
def test_every_click_holds_whatever_the_network_answers(size: tuple[int, int, int]):
    volume = noisy_volume(size)
    random = np.random.default_rng(3)
    for noise in (random.random((64, 64, 64), np.float32), np.ones((64, 64, 64), np.float32)):
        places = random.integers(0, size, (40, 3))
        clicks = [Click(tuple(place), bool(random.random() < 0.5)) for place in places.tolist()]
        points = ExtremePoints((POINTS * (np.array(size) / (40, 36, 32))).tolist())
        prepared = ready(points, *clicks, volume=volume)
        mask = whole_mask(noise, prepared, volume.geometry)
        last = {click.point: click.positive for click in clicks}
        assert {point: bool(mask[tuple(int(i) for i in point[::-1])]) for point in last} == last


def test_of_two_clicks_in_one_voxel_the_later_one_holds():
    volume = noisy_volume()
    inside, outside = Click((20, 17, 16)), Click((20.3, 16.8, 16.2), False)
    assert annotate(volume.array, volume.geometry, SIX, inside, outside)[16, 17, 20] == 0
    assert annotate(volume.array, volume.geometry, SIX, outside, inside)[16, 17, 20] == 1


def test_opposite_clicks_side_by_side_both_hold():
    volume = noisy_volume((130, 110, 90))
    points = ExtremePoints((POINTS * 3).tolist())
    mask = annotate(volume.array, volume.geometry, points, Click((60, 50, 45), False), Click((61, 50, 45)))
    assert (mask[45, 50, 60], mask[45, 50, 61]) == (0, 1)


def test_a_click_on_the_image_s_far_face_is_on_its_last_voxel():
    volume = noisy_volume()
    assert annotate(volume.array, volume.geometry, SIX, Click((39.5, 35.5, 31.5)))[31, 35, 39] == 1


def test_only_new_clicks_give_a_reason_to_change():
    volume = noisy_volume()
    first = Click((10, 17, 16), False)
    begun = ready(SIX, first, volume=volume)
    grid = np.zeros((64, 64, 64), np.float32)
    grid[16:48, 16:48, 10:54] = 1.0
    answered = postprocess(grid, begun, geometry=volume.geometry, threshold=0.5)
    # The next answer forgets the side of the first click, far from the second one.
    forgetful = grid.copy()
    forgetful[:, :, :24] = 0.0
    now = accumulate(begun.prompts, read_prompts([Click((33, 17, 16))], geometry=volume.geometry))
    prepared = prepare(Reductions(volume.array), now, previous=answered, geometry=volume.geometry, spec=ELLIPSOID_SPEC)
    settled = postprocess(forgetful, prepared, geometry=volume.geometry, threshold=0.5)
    assert settled.probabilities[32, 32, 20] == 255
    free = postprocess(forgetful, prepared, geometry=volume.geometry, threshold=0.5, reach=np.inf)
    assert free.probabilities[32, 32, 20] == 0


def test_a_component_that_only_a_positive_click_touches_is_kept():
    volume = noisy_volume()
    grid = np.zeros((64, 64, 64), np.float32)
    grid[26:38, 26:38, 10:54] = 1.0
    grid[2:8, 2:8, 2:8] = 1.0
    without = postprocess(grid, ready(SIX, volume=volume), geometry=volume.geometry, threshold=0.5).probabilities
    assert without[4, 4, 4] == 0
    prepared = ready(SIX, Click((4, 3, 2)), volume=volume)
    cell = np.floor((prepared.guidance.positive[0] + 1) / 2 * 64).astype(int)
    assert (cell < 8).all()
    assert postprocess(grid, prepared, geometry=volume.geometry, threshold=0.5).probabilities[4, 4, 4] == 255


def test_of_a_box_the_largest_component_is_kept():
    volume = noisy_volume()
    grid = np.zeros((64, 64, 64), np.float32)
    grid[26:38, 26:38, 10:54] = 1.0
    grid[2:8, 2:8, 2:8] = 1.0
    kept = postprocess(grid, ready(BOX, volume=volume), geometry=volume.geometry, threshold=0.5).probabilities
    assert kept[30, 30, 30] == 255
    assert kept[4, 4, 4] == 0


def test_an_answer_on_another_grid_is_carried_over():
    """As when a model gains a version with another ROI between two calls."""
    volume = noisy_volume()
    small = Prediction(np.full((16, 16, 16), 255, np.uint8), Roi((0, 0, 0), (40, 36, 32), (16, 16, 16)))
    prepared = ready(SIX, volume=volume, answered=small)
    assert prepared.guidance.previous.shape == (64, 64, 64)
    assert prepared.guidance.previous[32, 32, 32] == pytest.approx(1)


def test_uint8_counts_in_255ths_and_floats_are_taken_as_they_are():
    assert decode_probabilities(np.array([[[255, 51]]], np.uint8)).tolist() == [[[1.0, pytest.approx(0.2)]]]
    assert decode_probabilities(np.array([[[0.25]]], np.float16)).tolist() == [[[0.25]]]
