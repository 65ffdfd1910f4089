"""Every NIfTI file is read as nibabel reads it, or refused."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any, Literal

import nibabel
import numpy as np
import numpy.typing as npt
import pytest

from sixpoint.mask import Mask
from sixpoint.volume import Volume
from tests.sixpoint.geometries import rotation
from tests.support.data import SHARED

Affine = npt.NDArray[np.float64]

DTYPES = ["i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "f4", "f8"]
SCALINGS = [(1.0, 0.0), (0.0, 7.0), (np.nan, np.nan), (2.0, 0.0), (0.5, -1024.0), (1.0, 3.0)]
CODES = list(itertools.product(range(5), range(5)))
UNITS = {0: 1.0, 1: 1000.0, 2: 1.0, 3: 0.001}
"""Millimetres per unit, by NIfTI's code."""
LPS = np.diag([-1.0, -1.0, 1.0, 1.0])


def generated(path: Path, number: int) -> None:
    """One of the generated files: codes, dtypes, scalings, units, byte orders and orientations in turn."""
    rng = np.random.default_rng(number)
    qform, sform = CODES[number % len(CODES)]
    order: Literal["<", ">"] = "<" if number // 2 % 2 else ">"
    dtype = DTYPES[number % len(DTYPES)]
    slope, intercept = SCALINGS[number % len(SCALINGS)]
    unit = number // 3 % 4
    shape = tuple(rng.integers(1, 7, 3).tolist())
    axes = rotation(*rng.normal(size=4))[:, rng.permutation(3)] * rng.choice([-1, 1], 3)
    if number % 3 == 0:
        axes = np.eye(3)[:, rng.permutation(3)] * rng.choice([-1, 1], 3)
    affine = np.eye(4)
    affine[:3, :3] = axes * rng.uniform(0.3, 6, 3) / UNITS[unit]
    affine[:3, 3] = rng.uniform(-200, 200, 3) / UNITS[unit]
    header = nibabel.Nifti1Header(endianness=order)
    header.set_data_dtype(np.dtype(dtype).newbyteorder(order))
    header.set_data_shape(shape if number % 5 else (*shape, 1))
    header.set_qform(affine, qform)
    header.set_sform(affine, sform)
    header["xyzt_units"] = unit | (8 if number % 2 else 0)
    header["scl_slope"], header["scl_inter"] = slope, intercept
    header["magic"], header["vox_offset"] = b"n+1", 352 + 16 * (number % 3)
    voxels = rng.integers(0, 100, shape).astype(np.dtype(dtype).newbyteorder(order))
    content = bytes(header.binaryblock).ljust(int(header["vox_offset"]), b"\0") + voxels.tobytes(order="F")
    path.write_bytes(content)


def affine_of(volume: Volume) -> Affine:
    """Affine (RAS, mm) of a volume."""
    geometry, affine = volume.geometry, np.eye(4)
    affine[:3, :3] = np.array(geometry.direction).reshape(3, 3) * np.array(geometry.spacing)
    affine[:3, 3] = geometry.origin
    return np.asarray(LPS @ affine)


def check_like_nibabel(path: Path, volume: Volume) -> None:
    image: Any = nibabel.load(path)
    header = image.header
    expected = np.asarray(image.dataobj, np.float64).reshape(volume.array.shape[::-1])
    np.testing.assert_array_equal(volume.array.T, expected.astype(np.float32))
    scale = UNITS[int(header["xyzt_units"]) & 7]
    affine = image.affine * np.array([[scale]] * 3 + [[1.0]])
    if header["qform_code"] or header["sform_code"]:
        extent = np.abs(affine).max()
        np.testing.assert_allclose(affine_of(volume), affine, rtol=0, atol=4e-6 * max(extent, 1))
    else:
        np.testing.assert_allclose(volume.geometry.spacing, np.linalg.norm(affine[:3, :3], axis=0), rtol=1e-6)


@pytest.mark.parametrize("first", range(0, 500, 50))
def test_generated_files_are_read_as_nibabel_reads_them(tmp_path: Path, first: int) -> None:
    for number in range(first, first + 50):
        path = tmp_path / f"{number}.nii"
        generated(path, number)
        check_like_nibabel(path, Volume.read(path))


@pytest.mark.parametrize("first", range(0, 500, 50))
def test_the_mask_of_a_generated_file_has_its_affine(tmp_path: Path, first: int) -> None:
    for number in range(first, first + 50, 2):
        path, written = tmp_path / f"{number}.nii", tmp_path / f"{number}_mask.nii.gz"
        generated(path, number)
        check_mask_placement(path, Volume.read(path), written)


def check_mask_placement(path: Path, volume: Volume, written: Path) -> None:
    """A mask of an image has the image's place for nibabel, to the bit."""
    array = np.zeros(volume.array.shape, np.uint8)
    array[0, 0, 0] = 1
    Mask(array, volume.geometry).save(written)
    image: Any = nibabel.load(path)
    mask: Any = nibabel.load(written)
    np.testing.assert_array_equal(mask.affine, image.affine)
    for field in ("qform_code", "sform_code", "xyzt_units"):
        assert mask.header[field] == image.header[field]
    assert np.array_equal(mask.get_fdata().T, array)
    again = Volume.read(written)
    assert again.geometry == volume.geometry
    assert np.array_equal(again.array, array)


@pytest.mark.slow
def test_public_files_and_their_masks_are_as_nibabel_reads_them(tmp_path: Path) -> None:
    paths = sorted(SHARED.rglob("*.nii.gz")) if SHARED.is_dir() else []
    if not paths:
        pytest.skip("the shared NIfTI images are not here")
    for path in paths:
        volume = Volume.read(path)
        check_like_nibabel(path, volume)
        check_mask_placement(path, volume, tmp_path / "mask.nii.gz")
