"""Cells about 0 on the grid of MONAI's Spacing: 0 or nearly 0, as in MONAI."""

from __future__ import annotations

import numpy as np
import pytest

from sixpoint.model_spec import SegmentationSpec
from sixpoint.preprocessing import Roi, volume_channels, volume_input
from sixpoint.preprocessing.monai_spacing import recompute_zeros

IMAGE = np.random.default_rng(0).integers(-2, 3, size=(7, 9, 12)).astype(np.float32)
IMAGE[:3] = 0
HALF = (0.5, 0.5, 0.5)


# Counted in MONAI 1.6.1 with PyTorch 2.13 on a processor with AVX2.
@pytest.mark.parametrize(("axes", "zeros"), [("LPS", 2230), ("RAS", 2222), ("SAR", 2223)])
def test_as_many_cells_are_0_as_in_monai(axes: str, zeros: int) -> None:
    grid = np.zeros((13, 17, 23), np.float32)
    recompute_zeros(grid, IMAGE, steps=HALF, axes=axes)
    assert np.count_nonzero(grid == 0) == zeros


def test_other_cells_are_left_as_they_are() -> None:
    grid = np.full((13, 17, 23), 7.0, np.float32)
    recompute_zeros(grid, IMAGE, steps=HALF, axes="RAS")
    assert (grid == 7.0).all()


@pytest.mark.parametrize("nonzero", [True, False])
def test_only_windows_without_background_need_it(nonzero: bool) -> None:
    intensity = {"method": "zscore", "nonzero": nonzero}
    spec = SegmentationSpec.from_mapping(
        {
            "task": "segmentation",
            "prompts": [],
            "patch": {"size": [8, 8, 8], "spacing": HALF, "grid": "centres"},
            "input": {"dtype": "FP32", "channels": [{"kind": "image", "intensity": intensity}]},
            "network": {"name": "UNet", "axes": "RAS"},
        }
    )
    roi = Roi.for_segmentation((12, 9, 7), spacing=(1.0, 1.0, 1.0), spec=spec)
    grid = roi.extract(IMAGE)
    zeros = np.count_nonzero(grid == 0)
    if nonzero:
        recompute_zeros(grid, IMAGE, steps=HALF, axes="RAS")
        assert 0 < np.count_nonzero(grid == 0) < zeros
    assert np.array_equal(volume_channels(IMAGE, roi, spec), volume_input(grid, spec.input))
