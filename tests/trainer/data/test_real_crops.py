"""Labelled images become targets whose surroundings are those of the image."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from sixpoint.phantom import make_phantom
from trainer.data.dataloader import LabelledCases
from trainer.data.datasets import Case
from trainer.data.real_crops import deform_crops, extract_crops
from trainer.data.samples import MAX_EXTENT


def test_every_structure_that_is_large_enough_is_a_target() -> None:
    image = np.random.default_rng(0).normal(size=(40, 50, 60)).astype(np.float32)
    labels = np.zeros(image.shape, np.uint8)
    labels[5:20, 10:30, 12:40] = 3
    labels[30:36, 30:40, 30:44] = 7
    labels[0, 0, 0] = 9
    first, second = extract_crops(image, labels)
    assert first.mask.sum() == 15 * 20 * 28
    assert second.mask.sum() == 6 * 10 * 14
    # The crop ends with the scan in z, and reaches beyond the target elsewhere.
    assert first.mask.any(axis=(1, 2)).argmax() == 5


def test_large_structures_are_shown_coarser() -> None:
    labels = np.zeros((30, 40, 400), np.uint8)
    labels[10:20, 10:30, 50:350] = 1
    (crop,) = extract_crops(labels.astype(np.int16) * 100, labels)
    assert np.ptp(np.nonzero(crop.mask)[2]) < MAX_EXTENT
    assert crop.image[crop.mask].mean() > crop.image[~crop.mask].mean()


@pytest.mark.parametrize("kind", ["centreline", "stray voxels"])
def test_what_vanishes_when_it_is_shown_coarser_is_no_target(kind: str) -> None:
    rng = np.random.default_rng(0)
    labels = np.zeros((30, 400, 400), np.uint8)
    if kind == "centreline":
        along = np.arange(20, 380)
        labels[5 + along // 20, along, along] = 1
    else:
        labels.reshape(-1)[rng.choice(labels.size, 150, replace=False)] = 1
    labels[5:15, 5:15, 5:15] = 2
    image = rng.normal(size=labels.shape).astype(np.float32)
    crops = extract_crops(image, labels)
    assert [crop.mask.sum() for crop in crops] == [1000]
    assert len(list(deform_crops(rng, crops, count=8, coarse=0.3))) == 8


def test_deformed_targets_stay_where_their_intensities_are(tmp_path: Path) -> None:
    phantom = make_phantom()
    phantom.image.write(tmp_path / "image.nii.gz")
    phantom.labels.write(tmp_path / "labels.nii.gz")
    crops = LabelledCases((Case("phantom", tmp_path / "image.nii.gz", tmp_path / "labels.nii.gz"),), 1.0).crops()
    assert len(crops) >= 3
    varied = list(deform_crops(np.random.default_rng(0), crops, count=6, coarse=0.3))
    again = list(deform_crops(np.random.default_rng(0), crops, count=6, coarse=0.3))
    assert all(
        np.array_equal(a.image, b.image) and np.array_equal(a.mask, b.mask) for a, b in zip(varied, again, strict=True)
    )
    assert any(not np.array_equal(varied[0].mask, crop.mask) for crop in crops)
    for crop in varied:
        assert crop.image.shape == crop.mask.shape
        assert crop.mask.any()
        assert np.isfinite(crop.image).all()
