"""NIfTI files: no voxel that the file does not hold, and scaling as ITK does it."""

from __future__ import annotations

import gzip
import itertools
from pathlib import Path

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk

from sixpoint.errors import VolumeError
from sixpoint.volume import Volume

SHAPE = (4, 5, 6)
"""Voxels along (x, y, z)."""
HEADER = 352
VOXELS = 2 * 4 * 5 * 6


def content(dtype: str = "<i2", *, slope: float = 1.0, intercept: float = 0.0) -> bytes:
    """A NIfTI file with numbers from 1 on, none of them 0."""
    header = nibabel.Nifti1Header(endianness=dtype[0] if dtype[0] in "<>" else "<")
    header.set_data_dtype(np.dtype(dtype))
    header.set_data_shape(SHAPE)
    header["magic"] = b"n+1"
    header["vox_offset"] = HEADER
    header["scl_slope"], header["scl_inter"] = slope, intercept
    voxels = np.arange(1, 121).reshape(SHAPE).astype(dtype)
    return bytes(header.binaryblock) + bytes(4) + voxels.tobytes(order="F")


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
@pytest.mark.parametrize("size", [0, 3, 100, 347, 348, HEADER, HEADER + 1, HEADER + VOXELS // 2, HEADER + VOXELS - 1])
def test_a_file_that_lacks_bytes_is_refused(tmp_path: Path, suffix: str, size: int) -> None:
    path = tmp_path / f"image{suffix}"
    path.write_bytes(gzip.compress(content()[:size]) if suffix == ".nii.gz" else content()[:size])
    with pytest.raises(VolumeError, match=r"image\.nii"):
        Volume.read(path)


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
@pytest.mark.parametrize("size", [HEADER, HEADER + 1, HEADER + VOXELS // 2, HEADER + VOXELS - 1])
def test_a_truncated_file_is_called_so(tmp_path: Path, suffix: str, size: int) -> None:
    path = tmp_path / f"image{suffix}"
    path.write_bytes(gzip.compress(content()[:size]) if suffix == ".nii.gz" else content()[:size])
    with pytest.raises(
        VolumeError, match=r"is truncated: its header announces 240 bytes of voxels.* download it again"
    ):
        Volume.read(path)


def test_gzip_data_cut_anywhere_are_refused(tmp_path: Path) -> None:
    path, packed = tmp_path / "image.nii.gz", gzip.compress(content())
    for size in range(1, len(packed), 7):
        path.write_bytes(packed[:size])
        with pytest.raises(VolumeError, match=r"image\.nii\.gz"):
            Volume.read(path)


def test_gzip_data_whose_checksum_differs_are_refused(tmp_path: Path) -> None:
    packed = bytearray(gzip.compress(content()))
    packed[-8] ^= 1
    (tmp_path / "image.nii.gz").write_bytes(packed)
    with pytest.raises(VolumeError, match=r"image\.nii\.gz cannot be read as an image"):
        Volume.read(tmp_path / "image.nii.gz")


@pytest.mark.parametrize(
    ("dtype", "scaling"),
    list(
        itertools.product(
            ["|i1", "|u1", "<i2", ">i2", "<u2", "<i4", ">u4", "<i8", "<f4", ">f8"],
            [
                (1.0, 0.0),
                (0.0, 0.0),
                (2.0, 0.0),
                (0.5, -1024.0),
                (np.nan, 0.0),
            ],
        )
    ),
)
def test_voxels_are_those_of_itk(tmp_path: Path, dtype: str, scaling: tuple[float, float]) -> None:
    path = tmp_path / "image.nii"
    path.write_bytes(content(dtype, slope=scaling[0], intercept=scaling[1]))
    volume, expected = Volume.read(path), Volume.from_sitk(sitk.ReadImage(str(path)))
    assert volume.geometry == expected.geometry
    assert volume.array.dtype == expected.array.dtype
    assert np.array_equal(volume.array, expected.array)


def test_nifti_2_is_refused(tmp_path: Path) -> None:
    nibabel.save(nibabel.Nifti2Image(np.ones(SHAPE, np.int16), np.eye(4)), tmp_path / "image.nii")
    with pytest.raises(VolumeError, match=r"image\.nii is a NIfTI-2 file, expected NIfTI-1; convert it"):
        Volume.read(tmp_path / "image.nii")
