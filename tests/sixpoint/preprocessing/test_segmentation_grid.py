"""The grid of a network that was trained on MONAI's Spacing: from voxel centre to voxel centre."""

from __future__ import annotations

import numpy as np
import pytest

from sixpoint.model_spec import SegmentationSpec
from sixpoint.preprocessing import Roi, volume_channels, volume_input

SIZE = (6, 8, 10)
MILLIMETRE = (1.0, 1.0, 1.0)
Z, Y, X = np.ogrid[:10, :8, :6]
IMAGE = (7.0 + 3.0 * X - 5.0 * Y + 11.0 * Z).astype(np.float32)
"""A ramp [z, y, x]: linear interpolation gives its value at any place."""


def spec_of(spacing: tuple[float, float, float], axes: str, *, windowed_first: bool = False) -> SegmentationSpec:
    patch = {"size": [8, 8, 8], "spacing": spacing, "grid": "centres", "windowed_first": windowed_first}
    spec = SegmentationSpec.from_mapping(
        {
            "task": "segmentation",
            "prompts": [],
            "patch": patch,
            "input": {"dtype": "FP32", "channels": [{"kind": "image", "intensity": {"method": "zscore"}}]},
            "network": {"name": "UNet", "axes": axes},
        }
    )
    assert isinstance(spec, SegmentationSpec)
    return spec


def test_samples_are_exactly_the_spacing_apart_from_the_corner_of_the_networks_axes() -> None:
    roi = Roi.for_segmentation(SIZE, spacing=MILLIMETRE, spec=spec_of((1.5, 1.5, 1.5), "LPS"))
    assert roi.size == (4, 6, 7)
    assert roi.cell_size == pytest.approx((1.5, 1.5, 1.5))
    # Beyond the last voxel its value repeats.
    x, y, z = (np.minimum(1.5 * np.arange(count), n - 1.0) for count, n in zip(roi.size, SIZE, strict=True))
    expected = 7.0 + 3.0 * x - 5.0 * y[:, None] + 11.0 * z[:, None, None]
    assert np.allclose(roi.extract(IMAGE), expected, atol=1e-4)
    mirrored = Roi.for_segmentation(SIZE, spacing=MILLIMETRE, spec=spec_of((1.5, 1.5, 1.5), "RAI"))
    assert np.allclose(mirrored.extract(IMAGE[::-1, ::-1, ::-1])[::-1, ::-1, ::-1], expected, atol=1e-4)


def test_an_image_of_nearly_the_spacing_is_not_resampled() -> None:
    roi = Roi.for_segmentation(SIZE, spacing=(1.0005, 1.0, 0.9995), spec=spec_of(MILLIMETRE, "RAS"))
    assert np.array_equal(roi.extract(IMAGE), IMAGE)
    assert np.array_equal(roi.restore(IMAGE, image_size=SIZE)[0], IMAGE)


def test_windows_are_fitted_before_or_after_resampling() -> None:
    before, after = (spec_of((2.0, 2.0, 3.0), "RAS", windowed_first=first) for first in (True, False))
    roi = Roi.for_segmentation(SIZE, spacing=MILLIMETRE, spec=after)
    resampled = volume_input(roi.extract(IMAGE), after.input)
    assert np.array_equal(volume_channels(IMAGE, roi, after), resampled)
    windowed = volume_input(IMAGE, before.input)
    assert np.allclose(volume_channels(IMAGE, roi, before), roi.extract(windowed[0])[None], atol=1e-6)
    assert not np.allclose(volume_channels(IMAGE, roi, before), resampled, atol=1e-3)
