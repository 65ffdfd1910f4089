"""The simulated person clicks in the middle of the largest error, with the sign that corrects it."""

from __future__ import annotations

import numpy as np
import pytest

from trainer.simulation.simulated_user import error_click, largest_error

SHAPE = (20, 24, 28)


def ball(centre: tuple[int, int, int], radius: float) -> np.ndarray:
    """A ball round (z, y, x)."""
    grid = np.indices(SHAPE) - np.array(centre).reshape(3, 1, 1, 1)
    return np.square(grid).sum(axis=0) <= radius**2


def test_a_right_answer_needs_no_click() -> None:
    assert error_click(ball((10, 12, 14), 5), ball((10, 12, 14), 5)) is None


def test_what_was_missed_gets_a_positive_click_in_its_middle() -> None:
    click = error_click(ball((10, 12, 8), 5) | ball((10, 12, 20), 3), ball((10, 12, 20), 3))
    assert click is not None
    assert click.positive
    assert click.point == (8, 12, 10)


def test_what_is_too_much_gets_a_negative_click() -> None:
    click = error_click(ball((10, 12, 8), 3), ball((10, 12, 8), 3) | ball((10, 12, 20), 4))
    assert click is not None
    assert not click.positive
    assert click.point == (20, 12, 10)


def test_the_largest_error_comes_first_even_where_errors_of_both_signs_touch() -> None:
    truth, answer = np.zeros((2, *SHAPE), np.bool_)
    truth[5:15, 5:15, 4:10] = True
    answer[5:15, 5:15, 10:13] = True
    click = error_click(truth, answer)
    assert click is not None
    assert click.positive
    assert truth[click.point[2], click.point[1], click.point[0]]


def test_voxels_that_touch_by_a_corner_are_one_error() -> None:
    truth = np.zeros(SHAPE, np.bool_)
    for step in range(6):
        truth[3 + step, 3 + step, 3 + step] = True
    truth[15, 15, 15:19] = True
    click = error_click(truth, np.zeros(SHAPE, np.bool_))
    assert click is not None
    assert max(click.point) < 10


@pytest.mark.parametrize("seed", range(5))
def test_people_also_click_elsewhere_in_the_error(seed: int) -> None:
    truth, answer = ball((10, 12, 8), 5), np.zeros(SHAPE, np.bool_)
    error = largest_error(truth, answer)
    assert error is not None
    click = error.click(rng=np.random.default_rng(seed))
    assert click is not None
    assert click.positive
    assert truth[click.point[2], click.point[1], click.point[0]]
