"""A DeepEdit-like bundle sees in sixpoint what it sees in MONAI, and marks the same voxels."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sixpoint.errors import InvalidArgument
from tests.exporter.bundles import RANGE, deep_edit, write_bundle
from tests.exporter.deep_edit import by_monai, by_sixpoint
from tests.exporter.pipelines import derive, dice, write_image

CLICKS = [((20, 17, 9), True), ((31, 9, 12), False)]
CLIPPED = {**RANGE, "clip": True}
STATISTICS = {"_target_": "ScaleIntensityRangePercentilesd", "keys": "image", "lower": 2, "upper": 98, "clip": True}
STATISTICS |= {"b_min": 0.0, "b_max": 1.0}


def bundle_of(*, axes: str = "RAS", mode: str = "area", early: list[Any], late: list[Any] | None = None) -> Any:
    """The config of a bundle with transforms of intensity before and after Resize."""
    content = deep_edit()
    content["first"] = [{"_target_": "Orientationd", "keys": "image", "axcodes": axes}, *early]
    resize = next(part for part in content["clicks"] if part["_target_"] == "Resized")
    resize["mode"] = mode
    if late:
        content["later"] = late
        content["preprocessing"]["transforms"] = "$@first + @clicks + @later"
    return content


@pytest.mark.parametrize(
    "changes",
    [
        {"early": [CLIPPED]},
        {"axes": "PLI", "early": [CLIPPED]},
        {"mode": "trilinear", "early": [CLIPPED]},
        {"mode": "bilinear", "axes": "SAR", "early": [STATISTICS]},
        {"early": [STATISTICS]},
        {"early": [{"_target_": "NormalizeIntensityd", "keys": "image", "nonzero": True}]},
        {"early": [], "late": [CLIPPED]},
        {"early": [], "late": [{"_target_": "NormalizeIntensityd", "keys": "image"}]},
    ],
    ids=[
        *("zoo", "other axes", "trilinear", "percentiles, bilinear", "percentiles first", "nonzero first"),
        *("clipped after", "z-score after"),
    ],
)
def test_the_network_sees_and_marks_what_it_does_in_monai(changes: dict[str, Any], tmp_path: Path) -> None:
    # Two axes shrink to the grid of 32 cells, one grows.
    size, spacing = (45, 36, 20), (0.9, 1.0, 2.5)
    image = write_image(tmp_path / "ct.nii.gz", size=size, spacing=spacing, border=True, mirrored=True)
    network = write_bundle(tmp_path / "bundle", bundle_of(**changes), gain=2.0)
    spec = derive(tmp_path / "bundle").spec
    seen, probabilities = by_monai(tmp_path / "bundle", image, network, CLICKS)
    found, mask = by_sixpoint(image, network, CLICKS, spec)
    off = np.sqrt(np.mean((found.astype(np.float64) - seen) ** 2, axis=(1, 2, 3)))
    assert (off <= 1e-3 * np.maximum(1.0, seen[0].std())).all(), off
    assert 0.05 < mask.mean() < 0.95
    assert dice(mask, probabilities > 0.5) >= 0.999


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"mode": "nearest"}, "preprocessing Resize: mode nearest is not supported, expected area or trilinear"),
        ({"anti_aliasing": True}, "preprocessing Resize: anti_aliasing: True is not supported"),
        ({"align_corners": True, "mode": "trilinear"}, "preprocessing Resize: align_corners: True is not supported"),
        ({"spatial_size": 32, "size_mode": "longest"}, "spatial_size 32 does not give three sizes in voxels"),
        ({"spatial_size": [32, 32, -1]}, r"spatial_size \[32, 32, -1\] does not give three sizes in voxels"),
        ({"dtype": "$np.int16"}, "preprocessing Resize: it casts the image to int16, expected float32"),
    ],
)
def test_another_resize_is_a_gap(change: dict[str, Any], expected: str, tmp_path: Path) -> None:
    content = deep_edit()
    next(part for part in content["clicks"] if part["_target_"] == "Resized").update(change)
    write_bundle(tmp_path / "bundle", content)
    with pytest.raises(InvalidArgument, match=f"{expected}.*--spec FILE with roi"):
        derive(tmp_path / "bundle")
