"""Images that a model is hardly made for, and images that it is."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest

from sixpoint._typing import Array, Size, Vector
from sixpoint.geometry import Geometry
from sixpoint.model_spec import ExpectedImage, ModelSpec, find_doubts
from sixpoint.phantom import make_phantom
from sixpoint.volume import Volume
from tests.support.data import shared
from tests.support.paths import ROOT

ORGANS = ExpectedImage(True, ("CT",), (96, 96, 96), (1.5, 1.5, 1.5), ((-160.0, 240.0),))
"""A segmentation of CT in HU."""

PROSTATE = ExpectedImage(True, ("MRI",), (96, 96, 32), (0.5, 0.5, 3.0))
"""A segmentation of MR, whose windows follow from the image."""

SPLEEN = ExpectedImage(False, ("CT",), windows=((-57.0, 164.0),))
"""An annotation of CT in HU."""

ANY = ExpectedImage(False)
"""An annotation of every image, as the shipped one."""

BODY: Size = (200, 160, 100)


def volume(low: float, high: float, *, size: Size = BODY, spacing: Vector = (2, 2, 2), modality: str = "") -> Volume:
    """An image whose voxels run from ``low`` to ``high``."""
    x, y, z = size
    values = np.linspace(low, high, x * y * z, dtype=np.float32).reshape(z, y, x)
    return Volume(values, Geometry(size=size, spacing=spacing), modality=modality)


def ct(*, size: Size = BODY, spacing: Vector = (2, 2, 2), modality: str = "") -> Volume:
    return volume(-1024, 1500, size=size, spacing=spacing, modality=modality)


def mr(*, size: Size = BODY, spacing: Vector = (2, 2, 2), modality: str = "") -> Volume:
    return volume(0, 1200, size=size, spacing=spacing, modality=modality)


def shipped(name: str) -> ExpectedImage:
    """What a model of the repository expects."""
    config = (ROOT / "model_repository" / name / "config.pbtxt").read_text()
    found = re.search(r'key: "sixpoint"\s+value \{\s+string_value: ("(?:[^"\\]|\\.)*")', config)
    assert found
    return ExpectedImage.of_spec(ModelSpec.from_json(json.loads(found[1])))


@pytest.mark.parametrize(
    ("image", "expected", "sentence"),
    [
        (mr(modality="MR"), ORGANS, "the image is MR, and the model is made for CT: choose a model for MR"),
        (mr(), ORGANS, "no voxel of the image is below 0, and the model expects CT in HU"),
        (volume(-47, 833), ORGANS, "no voxel of the image is below -47, and"),
        (volume(0, 1), ORGANS, "no voxel of the image is below 0, and"),
        (volume(0, 4095, modality="CT"), ORGANS, "no voxel of the image is below 0, and"),
        (volume(0, 1), SPLEEN, "no voxel of the image is below 0, and"),
        (volume(0, 1), ExpectedImage(False, windows=((-57.0, 164.0),)), "no voxel of the image is below 0, and"),
        (ct(), PROSTATE, "the image has voxels of -1024, as CT in HU has them, and the model is made for MR"),
        (ct(modality="CT"), PROSTATE, "the image is CT, and the model is made for MR: choose a model for CT"),
        (volume(0, 1), ExpectedImage(True, windows=((0.0, 255.0),)), "are 0 to 1, and the model expects values of 0"),
        (volume(7, 7), PROSTATE, "all voxels of the image are 7, so there is nothing to label"),
        (ct(spacing=(2, 2, 10)), ORGANS, "lie 10 mm apart from foot to head, and the model works at 1.5 mm: small"),
        (
            ct(spacing=(0.055, 2, 2)),
            ORGANS,
            "lie 0.055 mm apart from right to left, and the model works at 1.5 mm: check",
        ),
        (ct(spacing=(0.01, 0.01, 0.01)), ORGANS, "lie 0.01 mm apart from right to left, finer than scanners"),
        (mr(spacing=(0.01, 0.01, 0.01)), ANY, "lie 0.01 mm apart from right to left, finer than scanners"),
        (mr(spacing=(2, 20, 2)), ANY, "is 3.2 m long from front to back, longer than any person"),
        (ct(size=(100, 100, 8)), ORGANS, "is 16 mm long from foot to head, and the model sees 144 mm at once"),
        (ct(size=(512, 512, 1)), ORGANS, "the image has one slice, and the model works in 3D"),
        (ct(size=(512, 3, 512)), ORGANS, "the image has 3 slices, and the model works in 3D"),
        (volume(0, 255, size=(512, 512, 1)), ANY, "the image has one slice, and the model works in 3D"),
    ],
)
def test_what_speaks_against_an_image_is_said(image: Volume, expected: ExpectedImage, sentence: str) -> None:
    doubts = find_doubts(image, expected)
    assert len(doubts) == 1, doubts
    assert sentence in doubts[0]


def test_a_photograph_in_a_model_of_ct_has_two_faults() -> None:
    values, stack = find_doubts(volume(0, 255, size=(512, 512, 1)), ORGANS)
    assert "below 0" in values
    assert "one slice" in stack


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        (ct(), ORGANS),
        (ct(spacing=(0.3, 0.3, 5), size=(512, 512, 60)), ORGANS),
        (ct(modality="CT"), ORGANS),
        (ct(modality="OT"), ORGANS),
        (volume(-160, 240), ORGANS),
        (ct(spacing=(0.3, 0.3, 1)), ExpectedImage(True, ("CT",), (64, 64, 64), (6.0, 6.0, 6.0))),
        (mr(), PROSTATE),
        (volume(-3, 8), PROSTATE),
        (mr(modality="PT"), ExpectedImage(True, ("T1",))),
        (volume(0, 1), ANY),
        (ct(size=(64, 64, 3)), ANY),
        (ct(modality="CT"), ANY),
        (ct(spacing=(5, 5, 20), size=(90, 90, 100)), ANY),
    ],
)
def test_nothing_speaks_against_a_usual_image(image: Volume, expected: ExpectedImage) -> None:
    assert find_doubts(image, expected) == ()


def test_axes_are_those_of_the_patient() -> None:
    """Stored sagittally, the slices are those from right to left."""
    array: Array = np.linspace(-1000, 1000, 20 * 90 * 80, dtype=np.float32).reshape(20, 90, 80)
    direction = (0.0, 0.0, 1.0, 1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
    image = Volume(array, Geometry(size=(80, 90, 20), spacing=(2, 2, 7), direction=direction))
    (doubt,) = find_doubts(image, ORGANS)
    assert "lie 7 mm apart from right to left" in doubt


@pytest.mark.parametrize("seed", [1, 6])
def test_the_phantom_is_a_plausible_ct(seed: int) -> None:
    image = make_phantom(seed=seed).image
    assert [find_doubts(image, expected) for expected in (shipped("annotation"), ORGANS, SPLEEN)] == [(), (), ()]


def test_the_shipped_models_are_right_for_every_real_image() -> None:
    images = [*shared("volumes").glob("*_image.n*"), *shared("sarcoma").glob("*/*_image.nii.gz")]
    images += [shared("dicom") / name for name in ("ct_abdomen_series", "ct_head_series", "ct_tiny_series")]
    images += [shared("dicom/dicom_seg") / name for name in ("ct-3slice", "23x38x3/image", "24x38x3/multiframe")]
    hippocampi = list(shared("hippocampus/images").iterdir())
    assert len(images) > 60
    assert len(hippocampi) == 208
    _check_none(images + hippocampi, shipped("annotation"))
    _check_none(hippocampi, shipped("segmentation_hippocampus"))


def test_real_ct_is_plausible_for_a_model_of_ct_and_mr_and_pet_are_not() -> None:
    scans = [path for path in shared("volumes").glob("*_image.n*") if "lowres" not in path.name]
    _check_none([path for path in scans if path.name.startswith("ct_")], ORGANS)
    _check_none([shared("dicom/ct_abdomen_series")], ORGANS)
    for path in scans:
        if not path.name.startswith("ct_"):
            assert any("CT in HU" in doubt for doubt in find_doubts(Volume.read(path), ORGANS)), path


def _check_none(images: list[Path], expected: ExpectedImage) -> None:
    doubts = {str(path): find_doubts(Volume.read(path), expected) for path in images}
    assert {path: said for path, said in doubts.items() if said} == {}
