"""Folders of DICOM slices that lack something, do not go together, or are damaged: asked for, or refused."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from pydicom import Dataset
from pydicom.uid import (
    MRImageStorage,
)

from sixpoint.errors import VolumeError
from sixpoint.geometry import Geometry
from sixpoint.volume import Volume
from tests.sixpoint.io.dicom.dicom_files import (
    ORIGIN,
    SPACING,
    VOXELS,
    Edit,
    removing,
    set_pixels,
    setting,
    write_series,
)

GEOMETRY = Geometry((10, 9, 12), SPACING, ORIGIN)


# What a header lacks


def test_a_single_slice_needs_a_spacing_from_the_user(tmp_path: Path) -> None:
    folder = write_series(tmp_path / "series", VOXELS[:1])
    with pytest.raises(VolumeError, match=r"one slice, .*thickness is another thing.* --spacing X,Y,Z"):
        Volume.read(folder)
    assert Volume.read(folder, spacing=(0.8, 1.1, 5)).geometry == Geometry((10, 9, 1), (0.8, 1.1, 5), ORIGIN)


@pytest.mark.parametrize("position", ["absent", "empty"])
def test_slices_without_positions_need_a_spacing_from_the_user(tmp_path: Path, position: str) -> None:
    edit = removing("ImagePositionPatient") if position == "absent" else setting("ImagePositionPatient", None)
    folder = write_series(tmp_path / "series", edit=edit, sop_class=MRImageStorage)
    with pytest.raises(VolumeError, match=r"no position .* --spacing X,Y,Z, or spacing="):
        Volume.read(folder)
    volume = Volume.read(folder, spacing=SPACING)
    assert np.array_equal(volume.array, VOXELS)
    assert volume.geometry == Geometry((10, 9, 12), SPACING)


def test_slices_without_positions_and_instance_numbers_have_no_order(tmp_path: Path) -> None:
    folder = write_series(tmp_path / "series", edit=removing("ImagePositionPatient", "InstanceNumber"))
    with pytest.raises(VolumeError, match="neither positions nor distinct instance numbers"):
        Volume.read(folder, spacing=SPACING)


def test_some_slices_without_a_position_are_refused(tmp_path: Path) -> None:
    folder = write_series(tmp_path / "series", edit=setting("ImagePositionPatient", None, of=4))
    with pytest.raises(VolumeError, match="instance number 5 has no position"):
        Volume.read(folder, spacing=SPACING)


def test_slices_without_an_orientation_are_refused(tmp_path: Path) -> None:
    folder = write_series(tmp_path / "series", edit=removing("ImageOrientationPatient"))
    with pytest.raises(VolumeError, match="no ImageOrientationPatient; export the series with it"):
        Volume.read(folder, spacing=SPACING)


@pytest.mark.parametrize(
    "edit",
    [
        removing("PixelSpacing"),
        setting("PixelSpacing", None),
        setting("PixelSpacing", [0, 0]),
        setting("PixelSpacing", [0.8]),
        setting("PixelSpacing", [-0.8, -1.1]),
    ],
    ids=["missing", "empty", "zero", "one value", "negative"],
)
def test_a_series_without_a_usable_pixel_spacing_needs_one_from_the_user(tmp_path: Path, edit: Edit) -> None:
    folder = write_series(tmp_path / "series", edit=edit)
    with pytest.raises(VolumeError, match=r"no usable PixelSpacing; .* --spacing X,Y,Z"):
        Volume.read(folder)
    assert Volume.read(folder, spacing=SPACING).geometry == GEOMETRY


@pytest.mark.parametrize("spacing", [(0.8, 1.1, 3), (1.1, 0.8, 2.5), (1, 1, 1)])
def test_a_spacing_that_the_header_contradicts_is_refused(tmp_path: Path, spacing: tuple[float, ...]) -> None:
    folder = write_series(tmp_path / "series")
    with pytest.raises(VolumeError, match=r"header says a spacing of 0\.8 x 1\.1 x 2\.5 mm, not"):
        Volume.read(folder, spacing=spacing)


@pytest.mark.parametrize("spacing", [(1, 1), (1, 1, 0), (1, 1, float("nan")), (-1, 1, 1)])
def test_a_spacing_that_is_none_is_refused(tmp_path: Path, spacing: tuple[float, ...]) -> None:
    folder = write_series(tmp_path / "series", VOXELS[:1])
    with pytest.raises(VolumeError, match="expected three positive numbers"):
        Volume.read(folder, spacing=spacing)


# Slices that do not go together


def test_a_slice_that_is_missing_is_noticed(tmp_path: Path) -> None:
    folder = write_series(tmp_path / "series")
    (folder / "1-008.dcm").unlink()
    with pytest.raises(VolumeError, match="missing or unevenly spaced"):
        Volume.read(folder)


def test_a_copy_of_a_slice_is_noticed(tmp_path: Path) -> None:
    folder = write_series(tmp_path / "series")
    shutil.copyfile(folder / "1-008.dcm", folder / "copy.dcm")
    with pytest.raises(VolumeError, match=r"13 slices at 12 positions: .*, or copies"):
        Volume.read(folder)


@pytest.mark.parametrize(
    ("edit", "what"),
    [
        (setting("PixelSpacing", [1.1, 0.9], of=7), "pixel spacing"),
        (setting("PixelSpacing", None, of=7), "pixel spacing"),
        (setting("ImageOrientationPatient", [-1, 0, 0, 0, 1, 0], of=7), "orientation"),
        (setting("ImageOrientationPatient", None, of=7), "orientation"),
        (lambda dataset, z: set_pixels(dataset, VOXELS[z, : 9 if z != 7 else 5]), "size"),
    ],
    ids=["spacing", "no spacing", "orientation", "no orientation", "size"],
)
def test_a_slice_of_another_kind_is_refused(tmp_path: Path, edit: Edit, what: str) -> None:
    with pytest.raises(VolumeError, match=f"number 8 has another {what} than the slice with instance number 1"):
        Volume.read(write_series(tmp_path / "series", edit=edit))


@pytest.mark.parametrize(
    "edit",
    [
        setting("PixelSpacing", [1.1005, 0.8], of=7),
        setting("ImageOrientationPatient", [0.99999, 0.0001, 0, 0, 1, 0], of=7),
    ],
)
def test_digits_that_were_rounded_away_are_no_difference(tmp_path: Path, edit: Edit) -> None:
    assert Volume.read(write_series(tmp_path / "series", edit=edit)).geometry == GEOMETRY


def test_a_folder_of_several_series_lists_them_and_one_is_chosen(tmp_path: Path) -> None:
    folder = write_series(tmp_path / "series", series=4)
    write_series(folder, VOXELS[:5, ::-1], series=30, sop_class=MRImageStorage)
    listed = r"1: CT, series number 4, 12 slices of 10 x 9; 2: MR, series number 30, 5 slices of 10 x 9"
    with pytest.raises(VolumeError, match=rf"holds 2 DICOM series; choose one with --series N .*: {listed}"):
        Volume.read(folder)
    assert np.array_equal(Volume.read(folder, series=1).array, VOXELS)
    assert np.array_equal(Volume.read(folder, series=2).array, VOXELS[:5, ::-1])
    with pytest.raises(VolumeError, match=f"has no series 3; it holds {listed}"):
        Volume.read(folder, series=3)


# Damage


def test_a_number_that_is_none_is_refused(tmp_path: Path) -> None:
    folder = write_series(tmp_path / "series")
    path = folder / "1-008.dcm"
    assert b"\\23.0\\" in path.read_bytes()
    path.write_bytes(path.read_bytes().replace(b"\\23.0\\", b"\\23.O\\"))
    with pytest.raises(VolumeError, match="ImagePositionPatient holds something that is not a number"):
        Volume.read(folder)


@pytest.mark.parametrize("left", [100, 400, -20])
def test_a_slice_that_was_cut_short_is_refused(tmp_path: Path, left: int) -> None:
    folder = write_series(tmp_path / "series")
    path = folder / "1-008.dcm"
    path.write_bytes(path.read_bytes()[:left])
    with pytest.raises(VolumeError, match=r"missing or unevenly|damaged|holds 2 DICOM series"):
        Volume.read(folder)


def test_a_folder_without_images_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("no images here")
    with pytest.raises(VolumeError, match="holds no DICOM image"):
        Volume.read(tmp_path)


@pytest.mark.parametrize(
    ("edit", "why"),
    [
        (setting("PhotometricInterpretation", "PALETTE COLOR"), "one number per voxel is needed"),
        (setting("SamplesPerPixel", 3), "one number per voxel is needed, got 3"),
        (setting("BitsAllocated", 1), "one bit per voxel is a mask, not an image; .* --mask"),
        (setting("HighBit", 11), "pixels of 16 bits in 16 are not supported"),
        (setting("RescaleSlope", 0), "RescaleSlope is 0"),
        (setting("ModalityLUTSequence", [Dataset()]), "look-up table"),
        (setting("Modality", "SEG"), "holds a DICOM segmentation, not an image; give it as --mask"),
    ],
    ids=["palette", "colour", "one bit", "high bit", "slope", "table", "segmentation"],
)
def test_what_is_no_image_of_numbers_is_refused(tmp_path: Path, edit: Edit, why: str) -> None:
    with pytest.raises(VolumeError, match=why):
        Volume.read(write_series(tmp_path / "series", edit=edit))


def test_errors_name_no_patient_no_file_and_no_uid(tmp_path: Path) -> None:
    folder = write_series(tmp_path / "series", edit=setting("PixelSpacing", [1, 1], of=3))
    write_series(folder, series=2)
    for number in (None, 1, 9):
        with pytest.raises(VolumeError) as caught:
            Volume.read(folder, series=number)
        message = caught.value.message.replace(str(folder), "")
        assert not any(part in message for part in ("Doe", "X123", "2020", ".dcm", "1.2.826"))
