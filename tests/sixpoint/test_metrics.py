from __future__ import annotations

import numpy as np
import pytest

from sixpoint.metrics import dice


def block(start: int, stop: int) -> np.ndarray:
    mask = np.zeros((10, 10, 10), np.uint8)
    mask[start:stop] = 1
    return mask


def test_dice_of_a_mask_with_itself_is_one_and_with_a_stranger_nought() -> None:
    assert dice(block(0, 3), block(0, 3)) == 1
    assert dice(block(0, 3), block(5, 8)) == 0


def test_dice_is_twice_the_shared_over_the_sum() -> None:
    assert dice(block(0, 4), block(2, 8)) == pytest.approx(2 * 2 / (4 + 6))
    assert dice(block(2, 8), block(0, 4)) == dice(block(0, 4), block(2, 8))


def test_masks_of_different_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match="masks of one shape"):
        dice(block(0, 3), block(0, 3)[:1])


def test_two_empty_masks_agree() -> None:
    assert dice(block(0, 0), block(0, 0)) == 1


def test_any_positive_number_belongs_to_the_mask() -> None:
    assert dice(block(0, 3) * 7, block(0, 3) > 0) == 1
