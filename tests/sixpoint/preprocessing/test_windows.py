"""Intensity windows that fit an image and its prompts."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from sixpoint.model_spec import (
    Intensity,
)
from sixpoint.preprocessing.guidance_maps import ellipsoid_map
from tests.sixpoint.preprocessing.prompts import METHODS, SIX, apply_window, guide, image


@pytest.mark.parametrize("method", METHODS)
def test_a_window_ends_at_minus_one_and_one(method: Any) -> None:
    outliers = image()
    outliers[0, 0, 0], outliers[1, 1, 1] = -1e6, 1e6
    result = apply_window(outliers, guide(), Intensity(method=method, low=2, high=98))
    assert (result[0, 0, 0], result[1, 1, 1]) == (-1, 1)
    assert result.min() == -1
    assert result.max() == 1


def test_a_range_goes_to_minus_one_and_one_whatever_the_image() -> None:
    values = np.array([-500, -160, 40, 240, 3000], np.float32)
    result = apply_window(np.tile(values, (8, 8, 1)), guide(), Intensity(method="range", low=-160, high=240))
    np.testing.assert_allclose(result[0, 0], [-1, -1, 0, 1, 1], atol=1e-6)


def test_percentiles_go_to_minus_one_and_one() -> None:
    # The same row everywhere, so that every second voxel has the same percentiles but for one in a hundred.
    ramp = np.broadcast_to(np.arange(1001, dtype=np.float32), (8, 8, 1001))
    result = apply_window(ramp, guide(), Intensity(method="percentile", low=10, high=90))
    np.testing.assert_allclose(result[0, 0, [0, 100, 500, 900, 1000]], [-1, -1, 0, 1, 1], atol=0.01)


def test_the_median_inside_the_ellipsoid_goes_to_nothing_and_its_spread_to_the_width() -> None:
    random = np.random.default_rng(0)
    radius = 1 - ellipsoid_map(SIX, shape=(32, 32, 32))
    picture = np.where(radius < 0.5, random.normal(60, 5, radius.shape), -100).astype(np.float32)
    result = apply_window(picture, guide(), Intensity(method="ellipsoid", width=40))
    # 40 spreads of 5 are 200.
    assert np.median(result[radius < 0.5]) == pytest.approx(0, abs=0.003)
    assert result[radius < 0.5].std() == pytest.approx(5 / 200, rel=0.1)
    assert result[radius > 0.6] == pytest.approx((-100 - 60) / 200, rel=0.1)


def test_a_body_without_texture_has_a_spread_of_a_fiftieth_of_the_images_range() -> None:
    radius = 1 - ellipsoid_map(SIX, shape=(32, 32, 32))
    picture = np.where(radius < 0.9, 60, -40).astype(np.float32)
    picture[16, 16, 16] = 64
    result = apply_window(picture, guide(), Intensity(method="ellipsoid", width=4))
    # The range is 100, so that four spreads are 8.
    assert result[16, 16, 16] == pytest.approx(0.5)
    assert result[16, 16, 15] == 0
    assert result[0, 0, 0] == -1


def test_the_median_beside_the_points_goes_to_nothing() -> None:
    picture = np.full((32, 32, 32), 500, np.float32)
    centre = (SIX.min(axis=0) + SIX.max(axis=0)) / 2
    for x, y, z in np.floor(((SIX + (centre - SIX) / 6) + 1) / 2 * 32).astype(int):
        picture[z - 2 : z + 3, y - 2 : y + 3, x - 2 : x + 3] = 40
    result = apply_window(picture, guide(), Intensity(method="points"))
    assert (result[picture == 40] == 0).all()
    assert (result[picture == 500] == 1).all()


def test_points_on_the_rois_border_are_windowed_too() -> None:
    corners = np.array([(-1, 0, 0), (1, 0, 0), (0, -1, 0), (0, 1, 0), (0, 0, -1), (0, 0, 1)], float)
    assert np.isfinite(apply_window(image((8, 8, 8)), guide(corners), Intensity(method="points"))).all()


def test_an_object_thinner_than_a_cell_has_the_whole_image_as_its_inside() -> None:
    thin = SIX * [1, 1, 1e-4] + [0, 0, 0.03]
    result = apply_window(image((8, 8, 8)), guide(thin), Intensity(method="ellipsoid"))
    assert np.median(result) == pytest.approx(0, abs=0.02)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("value", [0.0, -1000.0, 1e-20, 3e38, -0.1])
def test_a_constant_image_is_a_number_everywhere(method: Any, value: float) -> None:
    result = apply_window(np.full((8, 8, 8), value, np.float32), guide(), Intensity(method=method))
    assert np.isfinite(result).all()
    if method != "range":
        assert not result.any()


@pytest.mark.parametrize("method", ["percentile", "ellipsoid", "points"])
@pytest.mark.parametrize("scale", [2.0**-40, 2.0**-20, 2.0**10, 2.0**60])
def test_a_window_that_looks_at_the_image_does_not_depend_on_its_unit(method: Any, scale: float) -> None:
    intensity = Intensity(method=method)
    picture = image()
    scaled = apply_window(picture * np.float32(scale), guide(), intensity)
    np.testing.assert_allclose(scaled, apply_window(picture, guide(), intensity), rtol=0, atol=1e-5)


@pytest.mark.parametrize("method", ["percentile", "ellipsoid", "points"])
def test_a_window_that_looks_at_the_image_does_not_depend_on_its_offset(method: Any) -> None:
    intensity = Intensity(method=method)
    picture = np.rint(image())
    np.testing.assert_allclose(
        apply_window(picture - 1024, guide(), intensity), apply_window(picture, guide(), intensity), atol=1e-5
    )
