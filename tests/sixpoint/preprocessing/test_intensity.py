"""Percentiles of an image, and the windows that follow from them."""

from __future__ import annotations

import numpy as np
import pytest

from sixpoint.preprocessing import estimate_percentiles


@pytest.mark.parametrize(("low", "high"), [(1, 99), (0, 50), (5, 100), (33.3, 66.6)])
@pytest.mark.parametrize("shape", [(1, 1, 1), (3, 4, 5), (16, 17, 18)])
def test_percentiles_are_those_of_every_second_voxel(low: float, high: float, shape: tuple[int, int, int]) -> None:
    image = (np.random.default_rng(0).normal(size=shape) * 300).astype(np.float32)
    before = image.copy()
    expected = np.percentile(image[::2, ::2, ::2].astype(np.float64), [low, high])
    assert estimate_percentiles(image, low, high) == pytest.approx(expected)
    assert np.array_equal(image, before)


def test_the_whole_range_is_that_of_every_voxel() -> None:
    image = np.zeros((3, 3, 3), np.float32)
    image[1, 1, 1], image[1, 1, 0] = 7, -7
    assert estimate_percentiles(image, 0, 100) == (-7.0, 7.0)
