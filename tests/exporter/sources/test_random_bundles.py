"""Random bundles: the network sees what it sees in MONAI, or a gap is named."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from sixpoint.errors import InvalidArgument
from tests.exporter.bundles import write_bundle
from tests.exporter.pipelines import monai_input, our_input, write_image
from tests.exporter.random_bundles import random_config

BUNDLES_PER_TEST = 20
UNITS = {"HU": (1.0, 0.0), "0..1": (1 / 1000, 0.4), "mm2/s": (3e-6, 1.2e-3)}
"""Scale and offset of the image's values."""


@pytest.mark.parametrize("units", UNITS)
def test_a_random_bundle_is_understood_or_asked_about(units: str, tmp_path: Path) -> None:
    scale, offset = UNITS[units]
    image = write_image(
        tmp_path / "image.nii.gz", size=(22, 19, 17), spacing=(0.9, 1.2, 1.6), scale=scale, offset=offset
    )
    write_bundle(tmp_path / "bundle")
    understood, refused = 0, []
    for seed in range(BUNDLES_PER_TEST):
        content = random_config(seed, middle=-20 * scale + offset, spread=110 * scale)
        (tmp_path / "bundle" / "configs" / "inference.json").write_text(json.dumps(content))
        try:
            found = our_input(tmp_path / "bundle", image)
        except InvalidArgument:
            continue
        try:
            expected = monai_input(tmp_path / "bundle", image)
        except Exception as error:  # MONAI itself refuses the bundle
            refused.append(error)
            continue
        assert found.shape == expected.shape, content["preprocessing"]
        off = np.sqrt(np.mean((found - expected) ** 2)) / max(1e-9, float(expected.std()))
        assert off <= 1e-3, (seed, off, content["preprocessing"], content.get("second"))
        understood += 1
    assert understood >= BUNDLES_PER_TEST // 4, refused
