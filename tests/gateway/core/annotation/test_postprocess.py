"""From the network's output to a mask that respects the prompts."""

from __future__ import annotations

import numpy as np
import pytest

from gateway.core.annotation.postprocess import postprocess, render_mask
from gateway.core.annotation.preprocess import prepare
from gateway.core.annotation.prompt_state import accumulate, read_prompts
from gateway.core.images.reductions import Reductions
from sixpoint.prompts import Box, Click, ExtremePoints, Prompt
from tests.gateway.core.annotation.network_inputs import annotate, network_input, whole_mask
from tests.gateway.prompts import BOX, POINTS, SIX
from tests.sixpoint.geometries import AXIS_ORDERS, reordered
from tests.support.images import noisy_volume
from tests.support.models import ELLIPSOID_SPEC


def test_the_mask_is_the_ellipsoid_that_the_model_answered() -> None:
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
def test_every_axis_order_gives_the_same_mask_to_the_bit(start: Prompt, clicks: tuple[Click, ...]) -> None:
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


def test_an_object_at_the_image_s_border_keeps_its_place() -> None:
    volume = noisy_volume()
    points = POINTS + np.array([-8, 0, 0])
    mask = annotate(volume.array, volume.geometry, ExtremePoints(points.tolist()))
    assert mask[16, 17, 1] == 1
    assert mask[:, :, 24:].sum() == 0


@pytest.mark.parametrize("threshold", [0.5, 0.8])
def test_an_unsure_answer_is_cut_at_half_its_maximum_and_not_empty(threshold: float) -> None:
    prepared = network_input(SIX, volume=noisy_volume())
    unsure = np.zeros((64, 64, 64), np.float32)
    unsure[28:36, 28:36, 28:36] = 0.3
    answered = postprocess(unsure, prepared, geometry=noisy_volume().geometry, threshold=threshold)
    piece, _ = render_mask(answered, prepared.prompts, geometry=noisy_volume().geometry, threshold=threshold)
    assert 10 < piece.sum() < 400
    assert answered.probabilities.max() == min(255, round(2 * threshold * 255))


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_a_sure_answer_is_cut_at_the_threshold_of_its_model_though_it_be_above_a_half(dtype: type) -> None:
    volume = noisy_volume()
    prepared = network_input(SIX, volume=volume)
    counts = np.full((64, 64, 64), 153, np.uint8)  # 0.6 everywhere
    counts[28:36, 28:36, 28:36] = 255
    grid = counts if dtype is np.uint8 else counts.astype(np.float32) / np.float32(255)
    answered = postprocess(grid, prepared, geometry=volume.geometry, threshold=0.8)
    assert np.array_equal(answered.probabilities, counts)
    piece, _ = render_mask(answered, prepared.prompts, geometry=volume.geometry, threshold=0.8)
    assert 10 < piece.sum() < 400


def test_an_answer_of_zeros_is_an_empty_mask() -> None:
    volume = noisy_volume()
    assert not whole_mask(np.zeros((64, 64, 64), np.float32), network_input(SIX, volume=volume), volume.geometry).any()


def test_probabilities_that_rounding_put_beyond_0_and_1_are_0_and_1() -> None:
    volume = noisy_volume()
    prepared = network_input(SIX, volume=volume)
    grid = np.full((64, 64, 64), -0.01, np.float32)
    grid[20:44, 20:44, 20:44] = 1.01
    answered = postprocess(grid, prepared, geometry=volume.geometry, threshold=0.5)
    assert np.array_equal(answered.probabilities, np.where(grid > 0, 255, 0))


@pytest.mark.parametrize("size", [(40, 36, 32), (130, 110, 90)], ids=["finer grid", "coarser grid"])
def test_every_click_holds_whatever_the_network_answers(size: tuple[int, int, int]) -> None:
    volume = noisy_volume(size)
    random = np.random.default_rng(3)
    for noise in (random.random((64, 64, 64), np.float32), np.ones((64, 64, 64), np.float32)):
        places = random.integers(0, size, (40, 3))
        clicks = [Click(tuple(place), bool(random.random() < 0.5)) for place in places.tolist()]
        points = ExtremePoints((POINTS * (np.array(size) / (40, 36, 32))).tolist())
        prepared = network_input(points, *clicks, volume=volume)
        mask = whole_mask(noise, prepared, volume.geometry)
        last = {click.point: click.positive for click in clicks}
        assert {point: bool(mask[tuple(int(i) for i in point[::-1])]) for point in last} == last


def test_of_two_clicks_in_one_voxel_the_later_one_counts() -> None:
    volume = noisy_volume()
    inside, outside = Click((20, 17, 16)), Click((20.3, 16.8, 16.2), False)
    assert annotate(volume.array, volume.geometry, SIX, inside, outside)[16, 17, 20] == 0
    assert annotate(volume.array, volume.geometry, SIX, outside, inside)[16, 17, 20] == 1


def test_opposite_clicks_side_by_side_both_hold() -> None:
    volume = noisy_volume((130, 110, 90))
    points = ExtremePoints((POINTS * 3).tolist())
    mask = annotate(volume.array, volume.geometry, points, Click((60, 50, 45), False), Click((61, 50, 45)))
    assert (mask[45, 50, 60], mask[45, 50, 61]) == (0, 1)


def test_a_click_on_the_image_s_far_face_is_on_its_last_voxel() -> None:
    volume = noisy_volume()
    assert annotate(volume.array, volume.geometry, SIX, Click((39.5, 35.5, 31.5)))[31, 35, 39] == 1


def test_only_new_clicks_give_a_reason_to_change() -> None:
    volume = noisy_volume()
    first = Click((10, 17, 16), False)
    begun = network_input(SIX, first, volume=volume)
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
