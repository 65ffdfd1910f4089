"""What scribbles hide of an object in a label map."""

from __future__ import annotations

import numpy as np
import pytest

from gateway.http.monai_label.overdrawn import uncover
from gateway.http.monai_label.scribbles import plan_scribbles
from sixpoint._typing import Bools, Ints
from sixpoint.errors import PromptError
from sixpoint.geometry import Geometry
from sixpoint.mask import pack, voxels_of
from tests.support.models import ELLIPSOID_SPEC

GEOMETRY = Geometry((50, 44, 40))
BALL: Bools = np.square(np.indices(GEOMETRY.shape) - 20).sum(axis=0) < 15**2


def uncovered(shown: Bools, hidden: Bools, geometry: Geometry = GEOMETRY) -> Bools:
    packed = uncover(pack(shown & ~hidden, (0, 0, 0)), [voxels(hidden)], geometry)
    result = np.zeros(geometry.shape, np.bool_)
    (x0, y0, z0), (x1, y1, z1) = packed.lower, packed.upper
    result[z0:z1, y0:y1, x0:x1] = voxels_of(packed)
    return result


def voxels(mask: Bools) -> Ints:
    return np.argwhere(mask)[:, ::-1].astype(np.int32)


@pytest.mark.parametrize("box", [np.s_[20, 18:23, :], np.s_[:, 20:23, 20:23], np.s_[20, :, 18:21], np.s_[0, :, :]])
def test_a_stroke_leaves_the_object_as_it_was(box: tuple[slice, slice, slice]) -> None:
    hidden = np.zeros_like(BALL)
    hidden[box] = True
    wrong = np.count_nonzero(uncovered(BALL, hidden) ^ BALL)
    assert wrong <= 0.1 * np.count_nonzero(hidden & BALL)


def test_what_lies_deep_under_a_scribble_is_outside() -> None:
    geometry = Geometry((90, 90, 90))
    shown, hidden = np.ones((2, 90, 90, 90), np.bool_)
    hidden[[0, -1]] = False
    result = uncovered(shown, hidden, geometry)
    assert result[:33].all()
    assert not result[33:57].any()
    # Nothing is left to see what it was.
    assert not uncovered(shown, np.ones_like(shown), geometry).any()


def test_scribbles_of_too_many_voxels_are_refused_before_they_are_listed() -> None:
    drawn = pack(np.ones((128, 128, 65), np.bool_), (0, 0, 0))
    with pytest.raises(PromptError, match="limit"):
        plan_scribbles(
            {"foreground_scribbles": drawn}, "liver", box=None, geometry=Geometry((65, 128, 128)), spec=ELLIPSOID_SPEC
        )
