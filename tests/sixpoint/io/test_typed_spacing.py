"""A spacing that a person gives: taken where the header has none, refused where the header contradicts it."""

from __future__ import annotations

import itertools
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest

from sixpoint.errors import VolumeError
from sixpoint.mask import Mask
from sixpoint.volume import Volume

VOXELS = np.random.default_rng(5).integers(-50, 300, (8, 9, 10)).astype(np.int16)
SPACING = (0.8, 1.1, 2.5)
NAN, INF = float("nan"), float("inf")
AFFINE = np.array([[-0.8, 0, 0, 17], [0, -1.1, 0, -23], [0, 0, 2.5, -61], [0, 0, 0, 1]])


def nifti(path: Path, *pixdim: float, qform: int = 1, sform: int = 0, unit: int = 2) -> Path:
    """A NIfTI file with this spacing in its pixdim, and in mm in its sform."""
    image = nibabel.Nifti1Image(VOXELS.T, AFFINE)
    image.set_qform(AFFINE, qform)
    image.set_sform(AFFINE, sform)
    nibabel.save(image, path)
    content = bytearray(path.read_bytes())
    struct.pack_into("<3f", content, 80, *pixdim)
    struct.pack_into("<B", content, 123, unit)
    path.write_bytes(content)
    return path


def nrrd(path: Path, spacings: str) -> Path:
    lines = ["NRRD0005", "type: short", "dimension: 3", "sizes: 10 9 8", "endian: little", spacings, "encoding: raw"]
    path.write_bytes("\n".join(line for line in [*lines, "\n"] if line).encode() + VOXELS.astype("<i2").tobytes())
    return path


def metaimage(path: Path, spacing: str) -> Path:
    lines = ["ObjectType = Image", "NDims = 3", "Offset = 17 23 -61", spacing, "DimSize = 10 9 8"]
    text = "\n".join(line for line in [*lines, "ElementType = MET_SHORT", "ElementDataFile = LOCAL"] if line)
    path.write_bytes(f"{text}\n".encode() + VOXELS.astype("<i2").tobytes())
    return path


LACKING: dict[str, Callable[[Path], Path]] = {
    "nifti-zero": lambda folder: nifti(folder / "x.nii", 0, 0, 0),
    "nifti-nan": lambda folder: nifti(folder / "x.nii", NAN, NAN, NAN),
    "nifti-one-axis": lambda folder: nifti(folder / "x.nii", 0.8, 1.1, 0),
    "nifti-negative": lambda folder: nifti(folder / "x.nii", -0.8, 1.1, -2.5),
    "nifti-sform": lambda folder: nifti(folder / "x.nii", 0, INF, NAN, qform=0, sform=1),
    "nifti-no-codes": lambda folder: nifti(folder / "x.nii", 0, 0, 0, qform=0),
    "nrrd": lambda folder: nrrd(folder / "x.nrrd", ""),
    "nrrd-nan": lambda folder: nrrd(folder / "x.nrrd", "spacings: nan NaN 2.5"),
    "metaimage": lambda folder: metaimage(folder / "x.mha", ""),
    "metaimage-zero": lambda folder: metaimage(folder / "x.mha", "ElementSpacing = 0.8 0 0"),
    "metaimage-words": lambda folder: metaimage(folder / "x.mha", "ElementSpacing = nan 1.1 inf"),
}
SILENT_AXES: dict[str, tuple[int, ...]] = {
    "nifti-zero": (0, 1, 2),
    "nifti-nan": (0, 1, 2),
    "nifti-one-axis": (2,),
    "nifti-no-codes": (0, 1, 2),
    "nrrd": (0, 1, 2),
    "nrrd-nan": (0, 1),
    "metaimage": (0, 1, 2),
    "metaimage-zero": (1, 2),
    "metaimage-words": (0, 2),
}
"""Axes along which these headers give no spacing, not even by its sign or by a sform."""
WHOLE: dict[str, Callable[[Path], Path]] = {
    "nifti": lambda folder: nifti(folder / "x.nii", *SPACING),
    "nifti-um": lambda folder: nifti(folder / "x.nii", 800, 1100, 2500, unit=3),
    "nrrd": lambda folder: nrrd(folder / "x.nrrd", "spacings: 0.8 1.1 2.5"),
    "nrrd-directions": lambda folder: nrrd(
        folder / "x.nrrd", "space: left-posterior-superior\nspace directions: (0,0.8,0) (1.1,0,0) (0,0,2.5)"
    ),
    "nrrd-cm": lambda folder: nrrd(folder / "x.nrrd", 'spacings: 0.08 0.11 0.25\nunits: "cm" "cm" "cm"'),
    "metaimage": lambda folder: metaimage(folder / "x.mha", "ElementSpacing = 0.8 1.1 2.5"),
}


@pytest.mark.parametrize("make", LACKING.values(), ids=LACKING)
def test_a_spacing_is_taken_where_the_header_has_none(tmp_path: Path, make: Callable[[Path], Path]) -> None:
    path = make(tmp_path)
    with pytest.raises(VolumeError, match=r"give the spacing in mm: --spacing X,Y,Z, or spacing=\(x, y, z\)"):
        Volume.read(path)
    volume = Volume.read(path, spacing=SPACING)
    np.testing.assert_allclose(volume.geometry.spacing, SPACING, rtol=1e-7)
    assert np.array_equal(volume.array, VOXELS)


@pytest.mark.parametrize("name", [*LACKING, *(f"whole-{name}" for name in WHOLE)])
@pytest.mark.parametrize("axis", range(3))
def test_a_spacing_that_the_header_contradicts_is_refused(tmp_path: Path, name: str, axis: int) -> None:
    path = LACKING[name](tmp_path) if name in LACKING else WHOLE[name.removeprefix("whole-")](tmp_path)
    wrong = tuple(value * (1.02 if other == axis else 1) for other, value in enumerate(SPACING))
    if axis in SILENT_AXES.get(name, ()):
        np.testing.assert_allclose(Volume.read(path, spacing=wrong).geometry.spacing, wrong, rtol=1e-7)
        return
    with pytest.raises(VolumeError, match=r"its header says a spacing of 0\.8.* mm, not .*; leave the spacing out"):
        Volume.read(path, spacing=wrong)


@pytest.mark.parametrize("make", WHOLE.values(), ids=WHOLE)
def test_a_spacing_that_the_header_says_as_well_changes_nothing(tmp_path: Path, make: Callable[[Path], Path]) -> None:
    path = make(tmp_path)
    near = (SPACING[0] * 1.005, SPACING[1], SPACING[2])
    assert Volume.read(path, spacing=near).digest == Volume.read(path).digest


@pytest.mark.parametrize("unit", [0, 1, 2, 3])
def test_a_mask_lies_on_the_image_whose_spacing_was_given(tmp_path: Path, unit: int) -> None:
    path = nifti(tmp_path / "x.nii", 0, 0, 0, unit=unit)
    image = Volume.read(path, spacing=SPACING)
    Mask(np.ones(VOXELS.shape, np.uint8), image.geometry).save(tmp_path / "mask.nii.gz")
    assert Volume.read(tmp_path / "mask.nii.gz").geometry == image.geometry
    mask: Any = nibabel.load(tmp_path / "mask.nii.gz")
    factor = {1: 1000, 3: 0.001}.get(unit, 1)
    np.testing.assert_allclose(np.array(mask.header.get_zooms()) * factor, SPACING, rtol=1e-6)


@pytest.mark.parametrize("spacing", [(1, 2), (0, 1, 1), (1, -1, 1), (1, NAN, 1), (1, INF, 1)])
def test_a_spacing_that_is_none_is_refused(tmp_path: Path, spacing: Any) -> None:
    with pytest.raises(VolumeError, match="spacing: expected three positive numbers"):
        Volume.read(LACKING["nrrd"](tmp_path), spacing=spacing)


def test_only_dicom_has_series(tmp_path: Path) -> None:
    with pytest.raises(VolumeError, match=r"x\.nrrd is no DICOM image, so it has no series; leave the series out"):
        Volume.read(WHOLE["nrrd"](tmp_path), series=1)


def test_a_negative_spacing_outside_nifti_is_refused_whatever_is_typed(tmp_path: Path) -> None:
    """To ITK it mirrors the axis, to others it does not: left and right would be a guess."""
    paths = [
        nrrd(tmp_path / "x.nrrd", "spacings: -0.8 1.1 2.5"),
        metaimage(tmp_path / "x.mha", "ElementSpacing = -0.8 1.1 2.5"),
    ]
    for path, spacing in itertools.product(paths, [None, (0.8, 1.1, 2.5)]):
        with pytest.raises(VolumeError, match=r"gives the spacing -0.8 1.1 2.5 .*, expected .* above 0; correct it$"):
            Volume.read(path, spacing=spacing)
