"""The methods without a network find a bright body in noise, and stay sensible where there is none."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from sixpoint._typing import Bools
from sixpoint.geometry import Geometry
from sixpoint.metrics import dice
from sixpoint.prompts import ExtremePoints
from sixpoint.volume import Volume
from trainer.evaluation.baselines import BASELINES, ellipsoid, graph_cut, random_walker

Method = Callable[[Volume, npt.NDArray[Any]], Bools]
LOOKING: list[Method] = [random_walker, graph_cut]


def bean(*, contrast: float = 60.0, spacing: tuple[float, float, float] = (1.0, 1.0, 2.0)) -> tuple[Volume, Bools]:
    """A bent body that its ellipsoid misses, in noise: (x, y, z) of 50, 44, 30 voxels."""
    geometry = Geometry(size=(50, 44, 30), spacing=spacing)
    z, y, x = np.indices(geometry.shape)
    bent = y - 22 + 10 * np.cos((x - 25) / 9)
    truth = (x - 25) ** 2 / 18**2 + bent**2 / 6**2 + (z - 15) ** 2 / 8**2 <= 1
    image = 100 + contrast * truth + np.random.default_rng(0).normal(0, 8, truth.shape)
    return Volume(image.astype(np.float32), geometry), truth


def points_of(truth: Bools) -> npt.NDArray[Any]:
    return np.array(ExtremePoints.of_mask(truth).points)


@pytest.mark.parametrize("method", LOOKING)
def test_what_looks_at_the_image_beats_the_ellipsoid(method: Method) -> None:
    image, truth = bean()
    found = dice(method(image, points_of(truth)), truth)
    assert found > 0.7
    assert found > dice(ellipsoid(image, points_of(truth)), truth) + 0.05


@pytest.mark.parametrize("method", LOOKING)
def test_a_dark_body_is_found_as_well(method: Method) -> None:
    image, truth = bean(contrast=-60)
    assert dice(method(image, points_of(truth)), truth) > 0.7


@pytest.mark.parametrize("method", BASELINES.values(), ids=list(BASELINES))
def test_the_answer_is_a_mask_of_the_image_that_keeps_to_the_points_box(method: Method) -> None:
    image, truth = bean()
    points = points_of(truth)
    mask = method(image, points)
    assert mask.shape == image.array.shape
    assert mask.dtype == np.bool_
    filled = np.argwhere(mask)[:, ::-1]
    assert (filled.min(axis=0) >= points.min(axis=0) - 3).all()
    assert (filled.max(axis=0) <= points.max(axis=0) + 3).all()


@pytest.mark.parametrize("method", BASELINES.values(), ids=list(BASELINES))
@pytest.mark.parametrize("kind", ["uniform", "at the border"])
def test_odd_images_have_an_answer_too(method: Method, kind: str) -> None:
    image, truth = bean()
    if kind == "uniform":
        image = Volume(np.full_like(image.array, 7), image.geometry)
    else:
        # The body's first voxels are the image's.
        start = np.argwhere(truth).min(axis=0)
        place = tuple(slice(int(first), None) for first in start)
        truth = truth[place]
        z, y, x = truth.shape
        image = Volume(image.array[place], Geometry(size=(x, y, z), spacing=image.geometry.spacing))
    mask = method(image, points_of(truth))
    assert dice(mask, truth) > 0.3


@pytest.mark.parametrize("method", BASELINES.values(), ids=list(BASELINES))
def test_a_body_larger_than_the_grid_is_outlined_on_its_own_voxels(method: Method) -> None:
    geometry = Geometry(size=(120, 100, 90))
    z, y, x = np.indices(geometry.shape)
    truth = (x - 60) ** 2 / 50**2 + (y - 50) ** 2 / 40**2 + (z - 45) ** 2 / 35**2 <= 1
    image = Volume((50 + 100 * truth).astype(np.int16), geometry)
    assert dice(method(image, points_of(truth)), truth) > 0.93


def test_the_ellipsoid_fills_the_box_to_the_voxels_faces() -> None:
    image = Volume(np.zeros((3, 3, 3), np.uint8), Geometry(size=(3, 3, 3)))
    corners = np.array([[0, 1, 1], [2, 1, 1], [1, 0, 1], [1, 2, 1], [1, 1, 0], [1, 1, 2]])
    assert np.count_nonzero(ellipsoid(image, corners)) == 19  # all but the eight corners
