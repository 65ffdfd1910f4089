"""Random bundles: network and labels see and say what they do in MONAI, or a gap is named; never silently else.

``RANDOM_BUNDLES=1000 pytest -s tests/exporter/sources/test_random_bundles.py`` compares that many, and prints a table.
"""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

import pytest

from tests.exporter.comparison import RandomBundles
from tests.exporter.pipelines import write_image

BUNDLES = int(os.environ.get("RANDOM_BUNDLES", "60"))
UNITS = {"HU": (1.0, 0.0), "0..1": (1 / 1000, 0.4), "mm2/s": (3e-6, 1.2e-3)}
"""Scale and offset of the image's values."""


@pytest.mark.timeout(60 + BUNDLES)
@pytest.mark.parametrize("units", UNITS)
def test_a_random_bundle_is_understood_or_asked_about(units: str, tmp_path: Path) -> None:
    scale, offset = UNITS[units]
    image = write_image(
        tmp_path / "image.nii.gz", size=(22, 19, 17), spacing=(0.9, 1.2, 1.6), scale=scale, offset=offset
    )
    bundles = RandomBundles(tmp_path / "bundles")
    share = range(list(UNITS).index(units), BUNDLES, len(UNITS))
    outcomes = {
        seed: bundles.compare(
            seed, image, middle=-20 * scale + offset, spread=110 * scale, labels=BUNDLES > 60 or seed % 4 == 0
        )
        for seed in share
    }
    kinds = Counter(outcome.kind for outcome in outcomes.values())
    if BUNDLES > 60:
        print(units, dict(kinds))  # noqa: T201 - the table that the docstring promises
    assert {seed: outcome for seed, outcome in outcomes.items() if outcome.kind == "different"} == {}
    assert kinds["equal"] >= len(share) // 5, kinds
