"""Scribbles and lassos: every voxel is in the mask as they say, whatever the network answers."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest

from gateway.core.annotation.preprocess import Prediction, prepare
from gateway.core.annotation.prompt_state import ObjectPrompts, accumulate, add_to_object, read_prompts
from gateway.core.annotation.strokes import MAX_STROKES, estimate_reading_memory
from gateway.core.images.reductions import Reductions
from sixpoint.errors import NothingToCorrect, PromptError, PromptNotSupported, ResourceExhausted
from sixpoint.geometry import Geometry
from sixpoint.model_spec import PromptKind, StrokeChannel
from sixpoint.preprocessing import cells_of_voxels
from sixpoint.prompts import MAX_VOXELS, Click, ExtremePoints, InitialMask, Lasso, Prompt, Scribble, VoxelRuns
from tests.gateway.core.annotation.network_inputs import network_input, object_prompts, whole_mask
from tests.gateway.prompts import SIX
from tests.sixpoint.geometries import AXIS_ORDERS, reordered
from tests.support.images import noisy_volume
from tests.support.models import CLICKS_SPEC, DEAF_SPEC, ELLIPSOID_SPEC

VOLUME = noisy_volume()
SIZE = VOLUME.geometry.size
# From inside the object out of it, slantwise through the planes.
SLANTED = [(20 + n, 17 + n // 2, 16 + n // 3) for n in range(18)]
CIRCLE = [(20 + 6.3 * math.cos(a), 17 + 4.7 * math.sin(a), 16) for a in np.linspace(0, 2 * math.pi, 40)]


def answer(*prompts: Prompt, probability: int) -> np.ndarray:
    """The mask after a network that answers one probability everywhere."""
    given = network_input(*prompts, volume=VOLUME, spec=CLICKS_SPEC)
    return whole_mask(np.full(given.tensor.shape[1:], probability, np.uint8), given, VOLUME.geometry)


def values(mask: np.ndarray, prompt: Scribble | Lasso) -> set[int]:
    return set(mask[tuple(prompt.voxels(VOLUME.geometry).T[::-1])].tolist())


@pytest.mark.parametrize("make", [lambda sign: Scribble(SLANTED, sign), lambda sign: Lasso(CIRCLE, sign)])
@pytest.mark.parametrize("positive", [True, False])
def test_every_voxel_is_as_the_stroke_says(make: Callable[[bool], Scribble | Lasso], positive: bool) -> None:
    stroke = make(positive)
    assert values(answer(SIX, stroke, probability=1 if positive else 254), stroke) == {int(positive)}


def test_of_two_prompts_in_a_voxel_the_later_one_counts() -> None:
    middle = tuple(map(float, SLANTED[9]))
    late = answer(SIX, Scribble(SLANTED), Click(middle, False), probability=254)
    assert late[tuple(map(int, middle[::-1]))] == 0
    early = answer(SIX, Click(middle, False), Scribble(SLANTED), probability=1)
    assert values(early, Scribble(SLANTED)) == {1}
    taken = answer(SIX, Scribble(SLANTED), Scribble(SLANTED[5:9], False), Lasso(CIRCLE), probability=1)
    lasso = {tuple(v) for v in Lasso(CIRCLE).voxels(VOLUME.geometry).tolist()}
    expected = [int(n not in range(5, 9) or voxel in lasso) for n, voxel in enumerate(SLANTED)]
    assert [int(taken[z, y, x]) for x, y, z in SLANTED] == expected


def test_a_positive_scribble_outside_the_region_makes_it_larger() -> None:
    far = Scribble([(x, 2, 30) for x in range(1, 39)])
    given = network_input(SIX, far, volume=VOLUME, spec=CLICKS_SPEC)
    assert given.roi.lower[0] < 1
    assert given.roi.upper[2] > 30
    assert values(answer(SIX, far, probability=0), far) == {1}


def test_the_network_is_given_one_click_for_a_stroke() -> None:
    prompts = object_prompts(
        SIX, Scribble([(x, 17, 16) for x in range(10, 31)]), Lasso(CIRCLE, False), geometry=VOLUME.geometry
    )
    assert prompts.clicks.points.tolist() == [[20, 17, 16], [20, 17, 16]]
    assert prompts.clicks.positive.tolist() == [True, False]
    assert [stroke.clicks_before for stroke in prompts.strokes] == [0, 1]


def test_every_axis_order_gives_the_same_mask_to_the_bit() -> None:
    reference = None
    for axes, flips in AXIS_ORDERS:
        array, geometry = reordered(VOLUME.array, VOLUME.geometry, axes, flips)

        def moved(points: object, geometry: Geometry = geometry) -> np.ndarray:
            return geometry.point_to_index(VOLUME.geometry.index_to_point(np.asarray(points, float)))

        volume = type(VOLUME)(array, geometry)
        prompts = (ExtremePoints(moved(SIX.points)), Scribble(moved(SLANTED), False), Lasso(moved(CIRCLE)))
        given = network_input(*prompts, volume=volume, spec=CLICKS_SPEC)
        grid = np.random.default_rng(5).integers(0, 256, given.tensor.shape[1:], np.uint8)
        mask = whole_mask(grid, given, geometry)
        reference = mask if reference is None else reference
        assert np.array_equal(mask, reordered(reference, VOLUME.geometry, axes, flips)[0])


def test_a_component_that_only_a_stroke_touches_stays() -> None:
    far = Scribble([(x, 3, 3) for x in range(2, 6)])
    given = network_input(SIX, far, volume=VOLUME, spec=CLICKS_SPEC)
    grid = np.zeros(given.tensor.shape[1:], np.uint8)
    grid[20:40, 20:40, 20:40] = 255
    assert values(whole_mask(grid, given, VOLUME.geometry), far) == {1}


def test_an_initial_mask_is_corrected_by_strokes() -> None:
    mask = np.zeros(VOLUME.geometry.shape, np.bool_)
    mask[10:22, 10:26, 12:28] = True
    drawn = Scribble([(x, 12, 14) for x in range(5, 12)])
    corrected = answer(InitialMask.of(mask), drawn, Lasso(CIRCLE, False), probability=128)
    assert values(corrected, drawn) == {1}
    assert values(corrected, Lasso(CIRCLE)) == {0}


# Channels of their own

DRAWN_SPEC = CLICKS_SPEC.model_copy(
    update={
        "prompts": (*CLICKS_SPEC.prompts, PromptKind.SCRIBBLES),
        "input": CLICKS_SPEC.input.model_copy(
            update={
                "channels": (
                    *CLICKS_SPEC.input.channels,
                    StrokeChannel(prompt="scribbles", sign="positive"),
                    StrokeChannel(prompt="scribbles", sign="negative"),
                )
            }
        ),
    }
)


def test_a_network_with_channels_for_scribbles_sees_them_and_gets_no_click_in_their_place() -> None:
    drawn, taken, lasso = Scribble(SLANTED), Scribble(SLANTED[5:9], False), Lasso(CIRCLE, False)
    given = network_input(SIX, drawn, taken, Click((4, 17, 16)), lasso, volume=VOLUME, spec=DRAWN_SPEC)
    positive, negative = given.tensor[-2:]
    of_drawn, of_taken = (cells_of_voxels(each.voxels(VOLUME.geometry), given.roi) for each in (drawn, taken))
    # Of two scribbles in a cell the later one counts.
    assert np.array_equal(positive, of_drawn & ~of_taken)
    assert np.array_equal(negative, of_taken)
    assert (len(given.guidance.positive), len(given.guidance.negative)) == (1, 1)
    assert values(answer(SIX, drawn, probability=1), drawn) == {1}


def test_a_correction_draws_the_scribbles_anew() -> None:
    first = network_input(SIX, volume=VOLUME, spec=DRAWN_SPEC)
    assert not first.tensor[-2:].any()
    joined = object_prompts(SIX, Scribble(SLANTED[:8]), geometry=VOLUME.geometry)
    reductions = Reductions(VOLUME.geometry.orientation.to_canonical(VOLUME.array))
    again = prepare(reductions, joined, previous_input=first, geometry=VOLUME.geometry, spec=DRAWN_SPEC)
    fresh = prepare(reductions, joined, geometry=VOLUME.geometry, spec=DRAWN_SPEC)
    assert again.roi == first.roi
    assert again.tensor[-2].any()
    assert np.array_equal(again.tensor, fresh.tensor)


# What starts an object


def started(*prompts: Prompt, before: ObjectPrompts | None = None) -> tuple[tuple[Prompt, ...], ObjectPrompts]:
    batch = read_prompts(prompts, geometry=VOLUME.geometry)
    batch, joined = add_to_object(before, batch, model="m", spec=CLICKS_SPEC, geometry=VOLUME.geometry)
    return batch.prompts, joined


def test_a_positive_lasso_starts_an_object_by_its_box() -> None:
    prompts, joined = started(Lasso(CIRCLE), Click((20, 17, 15)))
    assert joined.extent.box.tolist() == [[14, 13, 8], [26, 21, 24]]
    assert isinstance(prompts[0], Lasso)
    assert prompts[0].extent == ((14, 13, 8), (27, 22, 25))
    assert joined.extent.extremes[:, 2].tolist() == [16, 16, 16, 16, 8, 24]
    assert len(joined.clicks) == 2
    # As it stands in the log, it says the same again.
    assert started(*prompts)[1].extent.box.tolist() == joined.extent.box.tolist()


def test_a_model_that_takes_boxes_only_gets_no_points_for_a_lasso() -> None:
    box_only = CLICKS_SPEC.model_copy(update={"prompts": (PromptKind.BOX, PromptKind.CLICKS)})
    joined = started(Lasso(CIRCLE))[1]
    reductions = Reductions(VOLUME.geometry.orientation.to_canonical(VOLUME.array))
    for spec, count in ((CLICKS_SPEC, 6), (box_only, 0)):
        given = prepare(reductions, joined, geometry=VOLUME.geometry, spec=spec)
        assert len(given.guidance.extremes) == count


def test_the_previous_answer_says_what_a_stroke_says_before_the_network_corrects_it() -> None:
    first = network_input(SIX, volume=VOLUME, spec=CLICKS_SPEC)
    answered = Prediction(np.full(first.tensor.shape[1:], 90, np.uint8), first.roi)
    drawn = Scribble([(x, 17, 16) for x in range(12, 28)])
    corrected = network_input(SIX, drawn, volume=VOLUME, spec=CLICKS_SPEC, previous=answered)
    assert corrected.guidance.previous is not None
    cells = cells_of_voxels(drawn.voxels(VOLUME.geometry), corrected.roi)
    assert cells.any()
    assert np.array_equal(corrected.guidance.previous == 1, cells)
    assert answered.probabilities.max() == 90


def test_a_lasso_on_an_object_corrects_it() -> None:
    before = started(SIX)[1]
    known = Lasso(CIRCLE, extent=((0, 0, 0), (5, 5, 5)))
    prompts, joined = started(known, before=before)
    assert joined.extent is before.extent
    assert prompts == (Lasso(CIRCLE),)


@pytest.mark.parametrize("prompt", [Lasso(CIRCLE, False), Scribble(SLANTED)])
def test_other_strokes_start_no_object(prompt: Prompt) -> None:
    with pytest.raises(NothingToCorrect, match="a positive lasso"):
        started(prompt)


def test_a_model_that_takes_clicks_only_is_started_by_the_click_of_a_stroke() -> None:
    spec = DEAF_SPEC.model_copy(update={"prompts": (PromptKind.CLICKS,)})
    for prompt in (Scribble(SLANTED), Lasso(CIRCLE)):
        batch = read_prompts([prompt], geometry=VOLUME.geometry)
        batch, joined = add_to_object(None, batch, model="m", spec=spec, geometry=VOLUME.geometry)
        assert joined.extent.whole_image
        assert batch.prompts == (prompt,)


def test_a_model_without_clicks_takes_no_strokes() -> None:
    batch = read_prompts([SIX, Scribble(SLANTED)], geometry=VOLUME.geometry)
    with pytest.raises(PromptNotSupported, match="not scribbles"):
        add_to_object(None, batch, model="m", spec=ELLIPSOID_SPEC, geometry=VOLUME.geometry)


# Limits


def test_the_prompt_at_fault_is_named() -> None:
    with pytest.raises(PromptError, match="outside the image") as caught:
        read_prompts([SIX, Scribble([(900, 2, 3)])], geometry=VOLUME.geometry)
    assert caught.value.violations[0].field == "prompts[1].scribble.voxels"


def test_too_many_strokes_or_voxels_on_an_object_are_refused() -> None:
    one = Scribble(SLANTED[:1])
    joined = accumulate(None, read_prompts([SIX, *[one] * MAX_STROKES], geometry=VOLUME.geometry))
    with pytest.raises(ResourceExhausted, match="201 scribbles and lassos of 201 voxels"):
        accumulate(joined, read_prompts([one], geometry=VOLUME.geometry))
    # Before anything is unpacked: the frame of this one is of no use.
    huge = Scribble(VoxelRuns(b"", MAX_VOXELS))
    assert estimate_reading_memory([SIX, huge, huge], geometry=VOLUME.geometry) == 192 * MAX_VOXELS
    with pytest.raises(ResourceExhausted, match="3 scribbles and lassos of 3145728 voxels"):
        estimate_reading_memory([huge] * 3, geometry=VOLUME.geometry)
    assert estimate_reading_memory([SIX, Click((1, 2, 3))], geometry=VOLUME.geometry) == 0
