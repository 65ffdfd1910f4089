"""Surface measures on shapes whose distances are known by hand."""

from __future__ import annotations

import numpy as np
import pytest

from sixpoint._typing import Bools
from sixpoint.geometry import Geometry
from trainer.evaluation.metrics import agreement, area_under_curve

GEOMETRY = Geometry(size=(30, 30, 30))


def cube(*, first: int = 10, edge: int = 10, shift: int = 0) -> Bools:
    mask = np.zeros((30, 30, 30), np.bool_)
    mask[first : first + edge, first : first + edge, first + shift : first + shift + edge] = True
    return mask


def test_the_truth_itself_is_perfect() -> None:
    found = agreement(cube(), cube(), GEOMETRY)
    assert (found.dice, found.nsd, found.hd95_mm) == (1.0, 1.0, 0.0)


# Beyond the tolerance: of the four sides, 100 mm2 each, what the other cube's sides end 2 mm before; of the two faces
# across the motion only a rim of the one inside the other cube.
@pytest.mark.parametrize(("shift", "nsd"), [(1, 1.0), (2, 1.0), (4, (320 + 64) / 600), (6, (240 + 64) / 600)])
def test_a_cube_moved_along_x_is_as_far_off_as_it_was_moved(shift: int, nsd: float) -> None:
    found = agreement(cube(shift=shift), cube(), GEOMETRY)
    assert found.dice == pytest.approx(1 - shift / 10)
    assert found.hd95_mm == pytest.approx(shift)
    assert found.nsd == pytest.approx(nsd, abs=0.06)


def test_distances_are_in_mm_along_each_axis() -> None:
    wide = Geometry(size=(30, 30, 30), spacing=(3.0, 1.0, 1.0))
    assert agreement(cube(shift=1), cube(), wide).hd95_mm == pytest.approx(3.0)
    assert agreement(cube(shift=1).transpose(2, 1, 0), cube(), wide).hd95_mm == pytest.approx(1.0)
    assert agreement(cube(shift=1), cube(), wide).nsd < 1.0


def test_a_larger_cube_within_the_tolerance_has_the_same_surface() -> None:
    assert agreement(cube(first=9, edge=12), cube(), GEOMETRY).nsd == pytest.approx(1.0)
    assert agreement(cube(first=7, edge=16), cube(), GEOMETRY).nsd == 0.0


def test_what_the_image_s_border_cuts_has_a_surface_there() -> None:
    cut = cube(first=0)
    assert agreement(cut, cut, GEOMETRY).nsd == 1.0
    assert agreement(cube(first=0, edge=4), cut, GEOMETRY).nsd < 0.6


def test_empty_masks() -> None:
    nothing = np.zeros((30, 30, 30), np.bool_)
    both, one = agreement(nothing, nothing, GEOMETRY), agreement(nothing, cube(), GEOMETRY)
    assert (both.dice, both.nsd, both.hd95_mm) == (1.0, 1.0, 0.0)
    assert (one.dice, one.nsd) == (0.0, 0.0)
    assert one.hd95_mm == pytest.approx(30 * 3**0.5)
    assert agreement(cube(), nothing, GEOMETRY) == one


def test_masks_of_other_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match="masks of one shape"):
        agreement(cube()[1:], cube(), GEOMETRY)


def test_the_area_under_five_clicks_is_at_most_four() -> None:
    assert area_under_curve([1.0] * 5) == pytest.approx(4.0)
    assert area_under_curve([0.0, 0.25, 0.5, 0.75, 1.0]) == pytest.approx(2.0)
    assert area_under_curve([0.5, 1.0, 1.0, 1.0, 1.0]) == pytest.approx(3.75)
