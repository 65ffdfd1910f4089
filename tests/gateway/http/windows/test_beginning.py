"""What a click outside of an object so far begins."""

from __future__ import annotations

import numpy as np

from gateway.http.windows.beginning import take_prompt
from sixpoint.geometry import Geometry
from sixpoint.mask import pack
from sixpoint.model_spec import PromptKind
from sixpoint.prompts import Box, Click, ExtremePoints, Scribble
from tests.support.models import DEAF_SPEC

GEOMETRY = Geometry((200, 200, 200))
INSIDE, NEAR, AWAY = Click((60, 60, 60)), Click((70, 60, 60)), Click((120, 60, 50))


def test_a_click_outside_begins_with_extreme_points_of_the_mask_and_of_its_cube() -> None:
    voxels = np.zeros((200, 200, 200), np.bool_)
    # An object that fills little of its box: three bars.
    voxels[60, 60, 40:81] = voxels[60, 35:91, 80] = voxels[30:61, 60, 40] = True
    mask = pack(voxels, (0, 0, 0))
    begun = take_prompt(INSIDE, [], GEOMETRY, DEAF_SPEC, mask=mask)
    assert begun == [Box((30, 30, 30), (90, 90, 90)), INSIDE]
    assert take_prompt(NEAR, begun, GEOMETRY, DEAF_SPEC, mask=mask) == [NEAR]
    anew = take_prompt(AWAY, [*begun, NEAR], GEOMETRY, DEAF_SPEC, mask=mask)
    # 30 mm outside, so that the whole cube counts: the mask reaches farther to the left only, and as far to the back.
    points = [(40.0, 60.0, 45.0), (150, 60, 50), (120, 30, 50), (80.0, 90.0, 60.0), (120, 60, 20), (120, 60, 80)]
    assert anew == [ExtremePoints(points), INSIDE, NEAR, AWAY]


def test_a_scribble_outside_is_inside_of_the_new_extreme_points() -> None:
    mask = pack(np.ones((41, 41, 41), np.bool_), (40, 40, 40))
    begun = take_prompt(INSIDE, [], GEOMETRY, DEAF_SPEC)
    line = Scribble([(100, y, 60) for y in range(40, 111)])
    begin, *rest = take_prompt(line, begun, GEOMETRY, DEAF_SPEC, mask=mask)
    # 20 mm outside, so that the usual cube counts round its middle, at y = 75: to the front it ends with the mask.
    middles = [(40, 60, 60), (130, 75, 60), (60, 40, 60), (100, 110, 60), (100, 75, 30), (100, 75, 90)]
    assert isinstance(begin, ExtremePoints)
    assert begin.points == ExtremePoints(middles).points
    assert rest == [INSIDE, line]


def test_a_click_just_outside_reaches_less_far() -> None:
    mask = pack(np.ones((41, 41, 41), np.bool_), (40, 40, 40))
    begun = take_prompt(INSIDE, [], GEOMETRY, DEAF_SPEC)
    for distance, reach in ((1, 5), (4, 12), (40, 30)):
        (begin, *_) = take_prompt(Click((90 + distance, 60, 60)), begun, GEOMETRY, DEAF_SPEC, mask=mask)
        assert isinstance(begin, ExtremePoints)
        assert begin.points[1] == (90 + distance + reach, 60, 60)


def test_without_a_mask_or_extreme_points_it_is_a_box() -> None:
    begun = take_prompt(INSIDE, [], GEOMETRY, DEAF_SPEC)
    box = [Box((30, 30, 20), (150, 90, 90)), INSIDE, AWAY]
    assert take_prompt(AWAY, begun, GEOMETRY, DEAF_SPEC) == box
    empty = pack(np.zeros((2, 2, 2), np.bool_), (0, 0, 0))
    assert take_prompt(AWAY, begun, GEOMETRY, DEAF_SPEC, mask=empty) == box
    boxes_only = DEAF_SPEC.model_copy(update={"prompts": (PromptKind.BOX, PromptKind.CLICKS)})
    full = pack(np.ones((2, 2, 2), np.bool_), (0, 0, 0))
    assert take_prompt(AWAY, begun, GEOMETRY, boxes_only, mask=full) == box
