"""Contours as OpenCV finds them, and polygons filled."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis.extra.numpy import array_shapes, arrays

from gateway.http.polygons.contours import find_contours
from gateway.http.polygons.filling import fill
from gateway.http.polygons.trace_polygons import main, to_polygon
from sixpoint._typing import Bools
from tests.gateway.http.polygons.pictures import CONTOURS, picture


def test_contours_are_those_of_opencv() -> None:
    assert find_contours(picture()) == CONTOURS
    assert find_contours(np.zeros((4, 5), np.bool_)) == []


@settings(deadline=None)
@given(arrays(np.bool_, array_shapes(min_dims=2, max_dims=2, max_side=12)))
def test_contours_filled_are_the_image(image: Bools) -> None:
    contours = find_contours(image)
    polygons = [[[row, column] for column, row in contour] for contour in contours]
    assert np.array_equal(fill(polygons, shape=(image.shape[0], image.shape[1])), image)


def test_short_contours_keep_all_their_pixels() -> None:
    pixels = [(n, 0) for n in range(30)]
    assert to_polygon(pixels[:5], 10) == pixels[:5]
    assert to_polygon(pixels[:6], 10) == pixels[:1]
    assert to_polygon(pixels, 10) == [pixels[0], pixels[11], pixels[22]]
    assert to_polygon(pixels, 0) == pixels


def test_a_mask_of_noise_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.http.polygons.trace_polygons._MAX_PIXELS", 100)
    noise = np.indices((3, 30, 30)).sum(axis=0) % 2
    assert "more than 100 pixels" in main(noise, tmp_path / "polygons", skipped=0)["error"]
    assert main(noise[:1, :3, :3], tmp_path / "polygons", skipped=0) == {}
    assert json.loads((tmp_path / "polygons").read_text()) == [
        [[[1, 0], [0, 1], [1, 2], [2, 1]], [[0, 1], [1, 0], [2, 1], [1, 2]]]
    ]
