"""Files that are read right, or refused."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest

from sixpoint.errors import VolumeError
from sixpoint.geometry import Geometry
from sixpoint.volume import Volume
from tests.sixpoint.volumes import FORMATS, OBLIQUE, noise, on_unit_grid, written


def test_the_voxels_of_a_compressed_nifti_are_its_own_whatever_lies_beside_it(tmp_path: Path) -> None:
    on_unit_grid(np.full((4, 5, 6), 1, np.int16)).write(tmp_path / "image.nii.gz")
    on_unit_grid(np.full((4, 5, 6), 2, np.int16)).write(tmp_path / "image.nii")
    assert np.unique(Volume.read(tmp_path / "image.nii.gz").array).tolist() == [1]
    assert np.unique(Volume.read(tmp_path / "image.nii").array).tolist() == [2]


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz", ".nrrd", ".mha"])
@pytest.mark.parametrize("part", [0.05, 0.5, 0.99])
def test_a_truncated_file_is_refused(tmp_path: Path, suffix: str, part: float) -> None:
    whole, cut = tmp_path / f"whole{suffix}", tmp_path / f"cut{suffix}"
    values = np.random.default_rng(0).integers(-1000, 1000, (12, 11, 10)).astype(np.int16)
    on_unit_grid(values).write(whole)
    cut.write_bytes(whole.read_bytes()[: int(whole.stat().st_size * part)])
    with pytest.raises(VolumeError, match="cut"):
        Volume.read(cut)


@pytest.mark.parametrize("suffix", [".nrrd", ".mha"])
def test_a_truncated_file_without_compression_is_refused(tmp_path: Path, suffix: str) -> None:
    path = written(tmp_path / f"image{suffix}", np.ones((12, 11, 10), np.int16))
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(VolumeError, match="cannot be read"):
        Volume.read(path)


def test_a_damaged_compressed_nifti_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "image.nii.gz"
    on_unit_grid(noise(OBLIQUE)).write(path)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)
    with pytest.raises(VolumeError, match=r"image\.nii\.gz cannot be read"):
        Volume.read(path)


@pytest.mark.parametrize("name", ["IMAGE.NII.GZ", "Image.NII", "image.Nii.gz"])
def test_a_nifti_file_may_be_named_in_capitals(tmp_path: Path, name: str) -> None:
    volume = on_unit_grid(noise(OBLIQUE))
    volume.write(tmp_path / ("image.nii.gz" if name.lower().endswith(".gz") else "image.nii"))
    next(tmp_path.iterdir()).rename(tmp_path / name)
    assert np.array_equal(Volume.read(tmp_path / name).array, volume.array)


@pytest.mark.parametrize("suffix", FORMATS)
def test_an_empty_file_is_refused(tmp_path: Path, suffix: str) -> None:
    (tmp_path / f"image{suffix}").touch()
    with pytest.raises(VolumeError, match="is empty"):
        Volume.read(tmp_path / f"image{suffix}")


@pytest.mark.parametrize("suffix", FORMATS)
def test_a_file_of_something_else_is_refused(tmp_path: Path, suffix: str) -> None:
    (tmp_path / f"image{suffix}").write_bytes(b"not an image at all\n" * 50)
    with pytest.raises(VolumeError, match="cannot be read as an image"):
        Volume.read(tmp_path / f"image{suffix}")


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(VolumeError, match=r"no such file or folder: .*ct\.nii"):
        Volume.read(tmp_path / "ct.nii")


def test_an_unknown_suffix_is_refused_by_naming_the_known_ones(tmp_path: Path) -> None:
    (tmp_path / "image.tiff").write_bytes(b"II*\0")
    with pytest.raises(VolumeError, match=r"\.nii\.gz, \.nrrd.* or a folder or zip with a DICOM series"):
        Volume.read(tmp_path / "image.tiff")


@pytest.mark.parametrize("suffix", [".nii.gz", ".nrrd", ".mha"])
def test_a_2d_image_is_refused(tmp_path: Path, suffix: str) -> None:
    with pytest.raises(VolumeError, match="expected a 3D image, got a 2D one"):
        Volume.read(written(tmp_path / f"image{suffix}", np.zeros((5, 6), np.int16)))


@pytest.mark.parametrize("suffix", [".nii.gz", ".nrrd", ".mha"])
def test_a_4d_image_of_several_frames_is_refused(tmp_path: Path, suffix: str) -> None:
    with pytest.raises(VolumeError, match="expected a 3D image, got a 4D one"):
        Volume.read(written(tmp_path / f"image{suffix}", np.zeros((2, 4, 5, 6), np.int16)))


@pytest.mark.parametrize("suffix", [".nii.gz", ".nrrd", ".mha"])
def test_a_4d_image_of_one_frame_is_its_frame(tmp_path: Path, suffix: str) -> None:
    frame = np.arange(4 * 5 * 6, dtype=np.int16).reshape(4, 5, 6)
    assert np.array_equal(Volume.read(written(tmp_path / f"image{suffix}", frame[None])).array, frame)


@pytest.mark.parametrize("suffix", [".nii.gz", ".nrrd", ".mha"])
def test_a_colour_image_is_refused(tmp_path: Path, suffix: str) -> None:
    with pytest.raises(VolumeError, match="expected one number per voxel, got 3"):
        Volume.read(written(tmp_path / f"image{suffix}", np.zeros((4, 5, 6, 3), np.uint8), components=True))


def test_a_complex_image_is_refused(tmp_path: Path) -> None:
    with pytest.raises(VolumeError, match="expected one number per voxel, got 2"):
        Volume.read(written(tmp_path / "image.nii", np.zeros((4, 5, 6), np.complex64)))


def test_a_nifti_files_slope_and_intercept_are_applied(tmp_path: Path) -> None:
    path = written(tmp_path / "image.nii", np.full((4, 5, 6), 7, np.int16))
    content = bytearray(path.read_bytes())
    struct.pack_into("<ff", content, 112, 2.0, -1000.0)
    path.write_bytes(content)
    assert np.unique(Volume.read(path).array).tolist() == [-986]


def test_a_big_endian_nifti_file_reads_as_its_numbers(tmp_path: Path) -> None:
    # NIfTI-1 by hand: 4 x 3 x 2 voxels, int16, spacing 1, 2, 3.
    header = bytearray(352)
    struct.pack_into(">i", header, 0, 348)
    struct.pack_into(">8h", header, 40, 3, 4, 3, 2, 1, 1, 1, 1)
    struct.pack_into(">hh", header, 70, 4, 16)
    struct.pack_into(">8f", header, 76, 1, 1, 2, 3, 1, 1, 1, 1)
    struct.pack_into(">f", header, 108, 352)
    struct.pack_into(">hh", header, 252, 0, 1)
    struct.pack_into(">12f", header, 280, -1, 0, 0, 0, 0, -2, 0, 0, 0, 0, 3, 0)
    header[344:348] = b"n+1\0"
    values = np.arange(24).reshape(2, 3, 4) - 12
    (tmp_path / "image.nii").write_bytes(bytes(header) + values.astype(">i2").tobytes())
    volume = Volume.read(tmp_path / "image.nii")
    assert np.array_equal(volume.array, values)
    assert volume.geometry == Geometry((4, 3, 2), (1, 2, 3))
