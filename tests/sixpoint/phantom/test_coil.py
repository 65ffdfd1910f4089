"""The phantom of a hollow organ: one body around a lumen, and the same for the same seed."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from sixpoint.phantom.coil import make_coil
from sixpoint.prompts import ExtremePoints


@pytest.mark.parametrize("seed", range(4))
def test_the_organ_is_one_wall_around_a_lumen(seed: int) -> None:
    phantom = make_coil(seed=seed)
    wall = phantom.labels.array > 0
    assert ndimage.label(wall)[1] == 1
    closed = ndimage.binary_fill_holes(wall)
    lumen = closed & ~wall
    assert 0.2 < lumen.sum() / wall.sum() < 0.8
    # It is as dark as the tissue around, and the wall is bright.
    assert phantom.image.array[wall].mean() - phantom.image.array[lumen].mean() > 100
    assert not wall[[0, -1]].any()
    assert not wall[:, [0, -1]].any()
    assert not wall[..., [0, -1]].any()
    assert ExtremePoints.of_mask(wall).to_index(phantom.image.geometry).shape == (6, 3)


def test_a_seed_makes_the_same_scan_again_and_another_seed_another() -> None:
    assert make_coil(seed=3).image.digest == make_coil(seed=3).image.digest
    assert make_coil(seed=3).image.digest != make_coil(seed=4).image.digest
    assert np.any(make_coil(seed=3).labels.array != make_coil(seed=4).labels.array)
