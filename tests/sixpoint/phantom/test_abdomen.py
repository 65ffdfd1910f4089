from __future__ import annotations

import numpy as np
import pytest

from sixpoint.phantom import ORGANS, Phantom, make_phantom
from sixpoint.prompts import ExtremePoints


@pytest.fixture(scope="module")
def phantom() -> Phantom:
    return make_phantom()


def test_the_same_seed_makes_the_same_phantom_and_another_another(phantom: Phantom) -> None:
    assert make_phantom().image.digest == phantom.image.digest
    assert make_phantom(seed=7).image.digest != phantom.image.digest


@pytest.mark.parametrize("organ", ORGANS)
def test_every_organ_is_there_in_one_good_size_with_six_points(phantom: Phantom, organ: str) -> None:
    truth = phantom.mask(organ)
    millilitres = truth.sum() * phantom.image.geometry.voxel_volume_ml
    assert 50 < millilitres < 2000
    assert ExtremePoints.of_mask(truth).to_index(phantom.image.geometry).shape == (6, 3)


def test_it_looks_like_a_ct(phantom: Phantom) -> None:
    hu = phantom.image.array
    assert hu.dtype == np.int16
    liver, spleen = hu[phantom.mask("liver") > 0], hu[phantom.mask("spleen") > 0]
    # Neighbours of nearly the same attenuation, less apart than the noise.
    assert abs(liver.mean() - spleen.mean()) < liver.std()
    assert 30 < liver.mean() < 80
    assert hu.min() < -900
    assert hu.max() > 400
