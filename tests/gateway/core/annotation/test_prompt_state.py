import hashlib

import numpy as np
import pytest
import zstandard

from gateway.core.annotation.clicks import MAX_CLICKS, Clicks
from gateway.core.annotation.prompt_state import (
    ObjectPrompts,
    accumulate,
    check_prompt_kinds,
    read_prompts,
    start_from_clicks,
)
from sixpoint.errors import NothingToCorrect, PromptError, PromptNotSupported, ResourceExhausted
from sixpoint.geometry import Geometry
from sixpoint.mask import PackedMask
from sixpoint.model_spec import PromptKind
from sixpoint.prompts import Click, InitialMask, Prompt, prompt_path
from tests.gateway.prompts import BOX, SIX

GEOMETRY = Geometry((40, 36, 32))
BACKWARDS = Geometry((40, 36, 32), direction=(-1, 0, 0, 0, 1, 0, 0, 0, 1))


def test_extreme_points_give_their_box_too() -> None:
    call = read_prompts([SIX], geometry=GEOMETRY)
    assert call.extent is not None
    assert call.extent.box.tolist() == [[8, 7, 6], [31, 28, 25]]
    assert call.extent.extremes.tolist() == [list(point) for point in SIX.points]
    assert len(call.clicks) == 0


def test_a_box_has_no_extreme_points() -> None:
    call = read_prompts([BOX], geometry=GEOMETRY)
    assert call.extent is not None
    assert call.extent.box.tolist() == [[8, 7, 6], [31, 28, 25]]
    assert call.extent.extremes.shape == (0, 3)


def test_along_an_axis_that_is_stored_backwards_the_lower_corner_is_still_the_lower() -> None:
    call = read_prompts([BOX, Click((8, 7, 6))], geometry=BACKWARDS)
    assert call.extent is not None
    assert call.extent.box.tolist() == [[39 - 31, 7, 6], [39 - 8, 28, 25]]
    assert call.clicks.points.tolist() == [[31, 7, 6]]


def test_clicks_keep_their_order_and_sign() -> None:
    call = read_prompts([SIX, Click((1, 2, 3)), Click((4, 5, 6), False)], geometry=GEOMETRY)
    assert call.clicks.points.tolist() == [[1, 2, 3], [4, 5, 6]]
    assert call.clicks.positive.tolist() == [True, False]


def test_no_prompts_are_refused() -> None:
    with pytest.raises(PromptError, match="at least one prompt"):
        read_prompts([], geometry=GEOMETRY)


@pytest.mark.parametrize("prompts", [[SIX, BOX], [SIX, SIX], [Click((1, 2, 3)), SIX], [SIX, Click((1, 2, 3)), BOX]])
def test_what_begins_an_object_comes_first_and_once(prompts: list[Prompt]) -> None:
    with pytest.raises(PromptError, match="at most one of them") as caught:
        read_prompts(prompts, geometry=GEOMETRY)
    assert caught.value.violations[0].field == prompt_path(prompts[-1], max(1, len(prompts) - 1))


def test_the_prompt_at_fault_is_named() -> None:
    with pytest.raises(PromptError, match="outside the image") as caught:
        read_prompts([SIX, Click((1, 2, 3)), Click((400, 2, 3))], geometry=GEOMETRY)
    assert [violation.field for violation in caught.value.violations] == ["prompts[2].click.point"]


def test_a_click_is_on_the_voxel_that_is_nearest() -> None:
    clicks = Clicks(np.array([[1.4, 2.6, -0.5], [39.5, 35.5, 31.5]]), np.array([True, True]))
    assert clicks.voxels((40, 36, 32)).tolist() == [[1, 3, 0], [39, 35, 31]]


@pytest.mark.parametrize(
    ("prompts", "taken", "words"),
    [
        ([BOX], [PromptKind.EXTREME_POINTS], "takes extreme_points; not box"),
        ([SIX, Click((1, 2, 3))], [PromptKind.EXTREME_POINTS], "takes extreme_points; not clicks"),
        ([BOX, Click((1, 2, 3))], [PromptKind.EXTREME_POINTS], "not box, clicks"),
        ([SIX], [PromptKind.BOX, PromptKind.CLICKS], "takes box, clicks; not extreme_points"),
        ([SIX], [], "takes no prompts"),
    ],
)
def test_what_a_model_does_not_take_is_refused_by_naming_what_it_takes(
    prompts: list[Prompt], taken: list[PromptKind], words: str
) -> None:
    with pytest.raises(PromptNotSupported, match=words):
        check_prompt_kinds(read_prompts(prompts, geometry=GEOMETRY), model="annotation", accepted=taken)


def test_clicks_add_up_until_something_new_is_begun() -> None:
    shown = accumulate(None, read_prompts([SIX, Click((1, 2, 3))], geometry=GEOMETRY))
    assert (len(shown.clicks), shown.new_clicks) == (1, 1)
    shown = accumulate(shown, read_prompts([Click((4, 5, 6), False), Click((7, 8, 9))], geometry=GEOMETRY))
    assert shown.clicks.points.tolist() == [[1, 2, 3], [4, 5, 6], [7, 8, 9]]
    assert shown.new_clicks == 2
    shown = accumulate(shown, read_prompts([BOX], geometry=GEOMETRY))
    assert (len(shown.clicks), shown.new_clicks) == (0, 0)
    assert len(shown.extent.extremes) == 0


def test_clicks_without_an_object_are_refused() -> None:
    with pytest.raises(NothingToCorrect, match="start with extreme points, a box, a mask or a positive lasso"):
        accumulate(None, read_prompts([Click((1, 2, 3))], geometry=GEOMETRY))


def test_an_object_takes_a_thousand_clicks() -> None:
    many = [Click((1, 2, 3))] * MAX_CLICKS
    shown = accumulate(None, read_prompts([SIX, *many], geometry=GEOMETRY))
    with pytest.raises(ResourceExhausted, match="1001 clicks on one object, and 1000"):
        accumulate(shown, read_prompts(many[:1], geometry=GEOMETRY))
    assert accumulate(shown, read_prompts([SIX], geometry=GEOMETRY)).clicks.points.shape == (0, 3)


def test_a_mask_is_shown_as_its_extreme_points_wherever_its_box_ends() -> None:
    mask = np.zeros((20, 20, 20), np.bool_)
    mask[4:9, 5:12, 6:15] = True
    mask[6, 8, 15] = mask[6, 3:5, 9] = True
    # What another client sends: the same voxels in a box that is too large.
    raw = np.packbits(mask[1:17, 1:17, 1:17].reshape(-1)).tobytes()
    digest = hashlib.sha256(raw).digest()
    loose = PackedMask((1, 1, 1), (17, 17, 17), zstandard.compress(raw), digest, int(mask.sum()))
    for packed in (InitialMask.of(mask).packed, loose):
        extent = read_prompts([InitialMask(packed)], geometry=Geometry((20, 20, 20))).extent
        assert extent is not None
        low, high = extent.extremes.min(axis=0), extent.extremes.max(axis=0)
        assert low.tolist() == [6, 3, 4]
        assert high.tolist() == [15, 11, 8]
        assert all(mask[tuple(int(n) for n in point[::-1])] for point in extent.extremes)


# Models that take clicks alone


def begun(shown: ObjectPrompts | None, *prompts: Prompt, by_clicks: bool = True) -> ObjectPrompts:
    call = read_prompts(prompts, geometry=GEOMETRY)
    return accumulate(
        shown, start_from_clicks(shown, call, model="anywhere", clicks_suffice=by_clicks, geometry=GEOMETRY)
    )


def test_a_positive_click_begins_an_object_that_may_reach_anywhere() -> None:
    shown = begun(None, Click((4, 5, 6), False), Click((1, 2, 3)))
    assert shown.extent.box.tolist() == [[0, 0, 0], [39, 35, 31]]
    assert shown.extent.whole_image
    assert (shown.extent.extremes.shape, len(shown.clicks)) == ((0, 3), 2)
    assert len(begun(shown, Click((7, 8, 9), False)).clicks) == 3


def test_a_negative_click_begins_nothing() -> None:
    with pytest.raises(NothingToCorrect, match="start with a positive click"):
        begun(None, Click((4, 5, 6), False))


def test_a_model_that_needs_more_says_so() -> None:
    with pytest.raises(NothingToCorrect, match="start with extreme points"):
        begun(None, Click((1, 2, 3)), by_clicks=False)
    shown = begun(None, Click((1, 2, 3)))
    with pytest.raises(NothingToCorrect, match="'anywhere' needs to know how far the object reaches"):
        begun(shown, Click((1, 2, 3)), by_clicks=False)
    assert not begun(shown, BOX, by_clicks=False).extent.whole_image
    # What points began, such a model goes on with.
    assert not begun(begun(None, BOX), Click((1, 2, 3))).extent.whole_image
