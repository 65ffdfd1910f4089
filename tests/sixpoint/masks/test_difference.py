"""The box in which two masks differ."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sixpoint.masks.difference import difference_box


@given(st.integers(0, 10_000), st.sampled_from([0.02, 0.5]))
def test_the_difference_of_two_masks_is_the_box_of_the_voxels_that_differ(seed: int, share: float) -> None:
    random = np.random.default_rng(seed)
    size = 7
    whole, pieces, places = [], [], []
    for _ in range(2):
        low = random.integers(0, size - 1, 3)
        high = [int(random.integers(a + 1, size + 1)) for a in low]
        window = tuple(slice(int(a), b) for a, b in zip(low, high, strict=True))
        mask = np.zeros((size,) * 3, np.bool_)
        mask[window] = random.random(mask[window].shape) < share
        whole.append(mask)
        pieces.append(np.ascontiguousarray(mask[window]))
        places.append((int(low[0]), int(low[1]), int(low[2])))
    differing = np.argwhere(whole[0] != whole[1])
    box = difference_box(pieces[0], pieces[1], origins=(places[0], places[1]))
    assert box == ((tuple(differing.min(axis=0)), tuple(differing.max(axis=0) + 1)) if len(differing) else None)


def test_equal_masks_do_not_differ() -> None:
    mask = np.ones((3, 4, 5), np.bool_)
    assert difference_box(mask, mask.copy(), origins=((1, 2, 3), (1, 2, 3))) is None


def test_empty_masks_do_not_differ() -> None:
    empty, other = np.zeros((0, 0, 0), np.bool_), np.zeros((2, 3, 4), np.bool_)
    assert difference_box(empty, empty, origins=((0, 0, 0), (0, 0, 0))) is None
    assert difference_box(empty, other, origins=((0, 0, 0), (5, 5, 5))) is None


def test_masks_that_are_views_are_compared() -> None:
    mask = np.zeros((4, 5, 6), np.bool_)
    mask[1, 2, 3] = True
    box = difference_box(mask[::-1, :, ::-1], np.zeros_like(mask), origins=((0, 0, 0), (0, 0, 0)))
    assert box == ((2, 2, 2), (3, 3, 3))


def test_arrays_that_are_no_masks_are_refused() -> None:
    mask = np.zeros((2, 3, 4), np.bool_)
    with pytest.raises(ValueError, match="expected masks"):
        difference_box(mask[0], mask, origins=((0, 0, 0), (0, 0, 0)))
    with pytest.raises(ValueError, match="bool"):
        difference_box(mask.astype(np.uint8), mask, origins=((0, 0, 0), (0, 0, 0)))
