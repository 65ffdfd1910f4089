"""Where the simulated user clicks."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from trainer.users import error_click

Mask = npt.NDArray[np.bool_]


def block(*parts: slice) -> Mask:
    mask = np.zeros((24, 24, 24), np.bool_)
    mask[parts] = True
    return mask


BODY = block(slice(4, 15), slice(4, 15), slice(4, 15))


def test_what_is_missing_is_clicked_in_its_middle_as_the_object_s() -> None:
    click = error_click(BODY, np.zeros_like(BODY))
    assert click is not None
    assert click.point == (9, 9, 9)
    assert click.positive


def test_what_is_too_much_is_clicked_as_not_the_object_s() -> None:
    excess = block(slice(17, 22), slice(1, 4), slice(10, 15))
    click = error_click(BODY, BODY | excess)
    assert click is not None
    assert not click.positive
    assert click.point == pytest.approx((12, 2, 19), abs=1)


def test_of_two_errors_the_larger_is_clicked() -> None:
    small, large = block(slice(17, 19), slice(17, 19), slice(17, 19)), block(slice(4, 15), slice(4, 15), slice(4, 7))
    click = error_click(BODY, (BODY | small) & ~large)
    assert click is not None
    assert click.positive
    assert large[click.point[::-1]]


def test_voxels_that_touch_by_a_corner_are_one_error() -> None:
    truth = np.zeros((24, 24, 24), np.bool_)
    for step in range(6):
        truth[step * 2 : step * 2 + 2, step * 2 : step * 2 + 2, step * 2 : step * 2 + 2] = True
    one = block(slice(20, 22), slice(0, 3), slice(0, 3))
    click = error_click(truth | one, np.zeros_like(truth))
    assert click is not None
    assert truth[click.point[::-1]]


def test_errors_of_both_signs_that_touch_are_two() -> None:
    answer = np.roll(BODY, 3, axis=2) | block(slice(4, 15), slice(4, 15), slice(15, 22))
    click = error_click(BODY, answer)
    assert click is not None
    assert not click.positive
    assert (answer & ~BODY)[click.point[::-1]]


def test_a_perfect_answer_needs_no_click() -> None:
    assert error_click(BODY, BODY) is None


def test_a_random_click_is_in_the_largest_error_too() -> None:
    missing = block(slice(4, 15), slice(4, 15), slice(4, 7))
    clicks = [error_click(BODY, BODY & ~missing, rng=np.random.default_rng(seed)) for seed in range(20)]
    points = {click.point for click in clicks if click}
    assert len(points) > 10
    assert all(missing[point[::-1]] for point in points)
