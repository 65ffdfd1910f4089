"""What a simulated user draws is in the error that it corrects."""

from __future__ import annotations

import numpy as np

from sixpoint._typing import Bools
from trainer.simulation.simulated_strokes import error_lasso, error_scribble, largest_outline


def cubes() -> tuple[Bools, Bools]:
    """A truth, and an answer that misses a bar of it along x, and has a smaller piece too much."""
    truth = np.zeros((12, 30, 40), np.bool_)
    truth[2:10, 5:25, 5:35] = True
    answer = truth.copy()
    answer[4:7, 10:15, 8:32] = False
    answer[8:10, 25:27, 10:20] = True
    return truth, answer


def test_a_scribble_goes_along_the_middle_of_the_largest_error() -> None:
    truth, answer = cubes()
    stroke = error_scribble(truth, answer)
    assert stroke is not None
    assert stroke.positive
    x, y, z = stroke.voxels.T
    assert np.array_equal(truth[z, y, x] & ~answer[z, y, x], np.ones(len(x), np.bool_))
    assert len(set(z.tolist())) == 1
    assert abs(y - 12).max() <= 2
    assert np.ptp(x) >= 18
    assert (abs(np.diff(stroke.voxels, axis=0)).max(axis=1) == 1).all()
    negative = error_scribble(answer, truth)
    assert negative is not None
    assert not negative.positive


def test_a_lasso_is_round_the_largest_piece_on_the_worst_slice() -> None:
    truth, answer = cubes()
    stroke = error_lasso(truth, answer)
    assert stroke is not None
    assert (stroke.positive, len(stroke.voxels)) == (True, 5 * 24)
    answer |= truth
    stroke = error_lasso(truth, answer)
    assert stroke is not None
    assert (stroke.positive, len(stroke.voxels), set(stroke.voxels[:, 2])) == (False, 2 * 10, {8})


def test_the_outline_of_an_object_has_no_holes() -> None:
    truth, _ = cubes()
    truth[5, 6:24, 6:34] = False
    truth[:5], truth[6:] = False, False
    outline = largest_outline(truth)
    assert len(outline) == 20 * 30
    assert set(outline[:, 2]) == {5}


def test_of_nothing_wrong_nothing_is_drawn() -> None:
    truth, _ = cubes()
    assert error_scribble(truth, truth) is None
    assert error_lasso(truth, truth) is None


def test_a_single_voxel_is_a_stroke() -> None:
    truth, answer = cubes()
    answer[:] = truth
    answer[3, 7, 9] = False
    stroke = error_scribble(truth, answer)
    assert stroke is not None
    assert stroke.voxels.tolist() == [[9, 7, 3]]
