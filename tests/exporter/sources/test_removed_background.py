"""What a bundle that normalises non-zero voxels takes for removed background is what MONAI takes for it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
import torch

from tests.exporter.bundles import config, write_bundle
from tests.exporter.pipelines import monai_input, our_input

CHAIN = [
    {"_target_": "NormalizeIntensityd", "keys": "image", "nonzero": True},
    {"_target_": "ScaleIntensityd", "keys": "image", "minv": -1.0, "maxv": 1.0},
]
"""As in wholeBody_ct_segmentation."""


def write_whole_numbers(path: Path, *, spacing: tuple[float, float, float], factor: float) -> Path:
    """Write an image of few values round 0, times ``factor``, with an empty border."""
    values = np.random.default_rng(0).integers(-3, 9, size=(36, 31, 24)).astype(np.float32)
    values[:5] = values[:, -4:] = 0
    nibabel.save(nibabel.Nifti1Image(values * np.float32(factor), np.diag([*spacing, 1.0])), path)
    return path


@pytest.mark.skipif(
    torch.backends.cpu.get_cpu_capability() not in {"AVX2", "AVX512"}, reason="PyTorch rounds otherwise without AVX2"
)
@pytest.mark.parametrize(
    ("axes", "spacing", "target", "factor"),
    [
        ("RAS", (3.0, 3.0, 3.0), (1.5, 1.5, 1.5), 100.0),
        ("LPI", (1.0, 1.0, 2.0), (1.5, 2.0, 1.0), 100.0),
        ("SAL", (1.0, 2.0, 3.0), (1.5, 1.5, 1.5), 3e-6),
        ("PIR", (0.8, 0.8, 0.8), (1.2, 0.4, 1.6), 1.0),
    ],
)
def test_removed_background_is_that_of_monai(
    axes: str, spacing: tuple[float, float, float], target: tuple[float, float, float], factor: float, tmp_path: Path
) -> None:
    image = write_whole_numbers(tmp_path / "image.nii.gz", spacing=spacing, factor=factor)
    content: dict[str, Any] = config()
    content["preprocessing"] = {
        "_target_": "Compose",
        "transforms": [
            {"_target_": "LoadImaged", "keys": "image"},
            {"_target_": "EnsureChannelFirstd", "keys": "image"},
            {"_target_": "Orientationd", "keys": "image", "axcodes": axes},
            {"_target_": "Spacingd", "keys": "image", "pixdim": list(target), "mode": "bilinear"},
            *CHAIN,
        ],
    }
    write_bundle(tmp_path / "bundle", content)
    expected = monai_input(tmp_path / "bundle", image)
    found = our_input(tmp_path / "bundle", image)
    assert np.sqrt(np.mean((found - expected) ** 2)) <= 1e-3
