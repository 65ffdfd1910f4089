"""Folders of DICOM slices are read as their headers say."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from pydicom import Dataset
from pydicom.uid import (
    CTImageStorage,
    ExplicitVRBigEndian,
    MRImageStorage,
    PositronEmissionTomographyImageStorage,
    RLELossless,
    SecondaryCaptureImageStorage,
)

from sixpoint.geometry import Geometry
from sixpoint.volume import Volume
from tests.sixpoint.geometries import rotation
from tests.sixpoint.io.dicom.dicom_files import (
    ORIGIN,
    SPACING,
    VOXELS,
    Edit,
    header,
    positions_along,
    set_pixels,
    setting,
    write_series,
)
from tests.support.data import shared

COUNT = len(VOXELS)
GEOMETRY = Geometry((10, 9, 12), SPACING, ORIGIN)


@pytest.mark.parametrize("series", ["ct_tiny_series", "ct_head_series", "ct_abdomen_series"])
def test_a_real_series_reads_as_its_slices_say(series: str) -> None:
    folder = shared(f"dicom/{series}")
    volume = Volume.read(folder)

    slices = [pydicom.dcmread(path) for path in folder.iterdir()]
    along = np.cross(slices[0].ImageOrientationPatient[:3], slices[0].ImageOrientationPatient[3:])
    slices.sort(key=lambda slice_: float(np.dot(along, slice_.ImagePositionPatient)))
    hounsfield = [one.pixel_array * float(one.RescaleSlope) + float(one.RescaleIntercept) for one in slices]
    assert np.array_equal(volume.array, np.stack(hounsfield))
    corners = volume.geometry.index_to_point([(0, 0, number) for number in range(len(slices))])
    np.testing.assert_allclose(corners, [one.ImagePositionPatient for one in slices], rtol=0, atol=1e-4)
    rows, columns = slices[0].PixelSpacing
    step = volume.geometry.index_to_point([(1, 0, 0)]) - volume.geometry.index_to_point([(0, 0, 0)])
    np.testing.assert_allclose(step[0], np.array(slices[0].ImageOrientationPatient[:3]) * columns, atol=1e-6)
    assert volume.geometry.spacing[:2] == pytest.approx((columns, rows))


@pytest.mark.parametrize(
    ("stored", "modality"), [("MR", "MR"), ("", ""), ("mr of Jane Doe", ""), ("CT ", "CT"), ("RTDOSE", "RTDOSE")]
)
def test_the_modality_is_read_where_it_is_one_of_the_terms(tmp_path: Path, stored: str, modality: str) -> None:
    folder = write_series(tmp_path / "series", edit=setting("Modality", stored))
    assert Volume.read(folder).modality == modality


@pytest.mark.parametrize(
    ("series", "digest"),
    [
        ("ct_tiny_series", "c92bb5d48bbc4480dab6d08c8c2f7a4973759a5da4d1ff3887bd6ffd616ce55f"),
        ("ct_head_series", "b2a732fca3562083191a3abbd6386df81e152883ad3cf764b9c2a766553401da"),
        ("ct_abdomen_series", "97e114fb5f1362d0e650b17d3ad3288d9477ff1a3ec55e14f8b10a6974909b3f"),
    ],
)
def test_the_digest_of_a_series_stays_what_it_was_when_itk_read_it(series: str, digest: str) -> None:
    # Sessions of former versions know their images by it.
    assert Volume.read(shared(f"dicom/{series}")).digest == digest


@pytest.mark.parametrize(
    "sop_class", [CTImageStorage, MRImageStorage, PositronEmissionTomographyImageStorage, SecondaryCaptureImageStorage]
)
def test_slices_are_sorted_along_their_normal(tmp_path: Path, sop_class: str) -> None:
    folder = write_series(tmp_path / "series", sop_class=sop_class)
    for number, path in enumerate(sorted(folder.iterdir(), reverse=True)):
        path.rename(folder / f"a{number:03}")
    volume = Volume.read(folder)
    assert np.array_equal(volume.array, VOXELS)
    assert volume.geometry == GEOMETRY


def test_an_oblique_series_lies_where_its_slices_do(tmp_path: Path) -> None:
    axes = rotation(0.8, 0.2, -0.5, 0.1)
    orientation = [*axes[:, 0], *axes[:, 1]]
    positions = positions_along(COUNT, orientation=orientation)
    geometry = Volume.read(write_series(tmp_path / "series", orientation=orientation)).geometry
    corners = geometry.index_to_point([(0, 0, z) for z in range(COUNT)])
    np.testing.assert_allclose(corners, positions, atol=1e-5)
    np.testing.assert_allclose(np.array(geometry.direction).reshape(3, 3), axes, atol=1e-6)


def big_endian(dataset: Dataset, z: int) -> None:
    dataset.file_meta.TransferSyntaxUID = ExplicitVRBigEndian
    dataset.PixelData = VOXELS[z].astype(">i2").tobytes()


def run_lengths(dataset: Dataset, z: int) -> None:
    dataset.compress(RLELossless)


@pytest.mark.parametrize("edit", [big_endian, run_lengths])
def test_other_transfer_syntaxes_hold_the_same_voxels(tmp_path: Path, edit: Edit) -> None:
    volume = Volume.read(write_series(tmp_path / "series", edit=edit))
    assert volume.digest == Volume.read(write_series(tmp_path / "plain")).digest


@pytest.mark.parametrize(
    "orientation",
    [
        (1, 0, 0, 0, 1, 0),
        (1, 0, 0, 0, 0, -1),
        (0, 1, 0, 0, 0, -1),
        (-0.0, -1, 0, 1, 0, 0),
        (0.958243, -0.123456, 0.257925, 0.047619, 0.958201, 0.282107),
        (0.71, 0.71, 0, -0.71, 0.71, 0),
    ],
)
@pytest.mark.parametrize(("slope", "intercept"), [(1, 0), (1, -1024), (0.5, 3)])
def test_a_good_series_has_the_digest_that_it_has_when_itk_reads_it(
    tmp_path: Path, orientation: tuple[float, ...], slope: float, intercept: float
) -> None:
    def edit(dataset: Dataset, z: int) -> None:
        dataset.RescaleSlope, dataset.RescaleIntercept = slope, intercept

    folder = write_series(tmp_path / "series", orientation=orientation, edit=edit)
    by_itk = Volume.from_sitk(sitk.ReadImage([str(path) for path in sorted(folder.iterdir())]))
    assert Volume.read(folder).digest == by_itk.digest


def test_files_without_a_preamble_are_read(tmp_path: Path) -> None:
    folder = write_series(tmp_path / "series")
    for path in folder.iterdir():
        path.write_bytes(path.read_bytes()[132:])
    assert np.array_equal(Volume.read(folder).array, VOXELS)


def test_what_is_no_image_beside_a_series_is_left_out(tmp_path: Path) -> None:
    folder = write_series(tmp_path / "series")
    (folder / "notes.txt").write_text("no image")
    (folder / "sub").mkdir()
    report = header("1.2.840.10008.5.1.4.1.1.88.11", series=2)
    report.save_as(folder / "report.dcm", enforce_file_format=True)
    assert Volume.read(folder).geometry == GEOMETRY


@pytest.mark.parametrize("slope", [None, 1, 2.5])
def test_monochrome1_says_how_to_show_an_image_not_what_its_numbers_mean(tmp_path: Path, slope: float | None) -> None:
    def edit(dataset: Dataset, z: int) -> None:
        dataset.PhotometricInterpretation = "MONOCHROME1"
        dataset.RescaleSlope = slope

    volume = Volume.read(write_series(tmp_path / "series", edit=edit))
    np.testing.assert_allclose(volume.array, VOXELS * (slope or 1))
    assert volume.inverted_display
    assert volume.digest == Volume(volume.array, volume.geometry).digest


def test_monochrome2_and_a_mixture_are_shown_as_they_are(tmp_path: Path) -> None:
    def edit(dataset: Dataset, z: int) -> None:
        dataset.PhotometricInterpretation = "MONOCHROME1" if z == 3 else "MONOCHROME2"

    plain, mixed = (
        Volume.read(write_series(tmp_path / "plain")),
        Volume.read(write_series(tmp_path / "mixed", edit=edit)),
    )
    assert (plain.inverted_display, plain.notes) == (False, ())
    assert not mixed.inverted_display
    assert "some slices are MONOCHROME1, others MONOCHROME2" in mixed.notes[0]
    assert np.array_equal(mixed.array, plain.array)


def test_slices_without_a_position_say_that_millimetres_have_no_meaning(tmp_path: Path) -> None:
    def edit(dataset: Dataset, z: int) -> None:
        del dataset.ImagePositionPatient

    (note,) = Volume.read(write_series(tmp_path / "series", edit=edit), spacing=SPACING).notes
    assert note == (
        f"{tmp_path}/series: its slices have no position in the patient (ImagePositionPatient): positions in mm (lps, "
        "ras) have no meaning, voxel indices have"
    )


@pytest.mark.parametrize(
    ("slopes", "intercepts"),
    [
        ((1, 3000, 1), (0, 0, 0)),
        ((1, 1, 1), (0, -1024, 0)),
        ((1, 0.37, 2.5), (0, 0, 0.5)),
        ((1, None, 2), (0, None, 0)),
    ],
    ids=["wide", "moved", "fractions", "missing"],
)
def test_slices_that_are_rescaled_differently_are_each_read_right(
    tmp_path: Path, slopes: tuple[float | None, ...], intercepts: tuple[float | None, ...]
) -> None:
    def edit(dataset: Dataset, z: int) -> None:
        dataset.RescaleSlope, dataset.RescaleIntercept = slopes[z % 3], intercepts[z % 3]

    expected = [
        values.astype(float) * float(slopes[z % 3] or 1) + float(intercepts[z % 3] or 0)
        for z, values in enumerate(VOXELS)
    ]
    volume = Volume.read(write_series(tmp_path / "series", edit=edit))
    assert volume.array.dtype == np.float32
    np.testing.assert_allclose(volume.array, np.stack(expected), rtol=1e-6)


@pytest.mark.parametrize(
    ("stored", "bits", "slope", "intercept", "dtype"),
    [
        ("int16", 16, 1, 0, "int16"),
        ("uint16", 12, 1, 0, "uint16"),
        ("uint16", 12, 1, -1024, "int16"),
        ("uint16", 16, 1, -1024, "int32"),
        ("int16", 16, 2, 0, "int32"),
        ("uint8", 8, 1, 0, "uint8"),
        ("uint8", 8, -1, 0, "int16"),
        ("int16", 16, 0.5, 0, "float32"),
        ("int16", 16, 1, 0.5, "float32"),
    ],
)
def test_voxels_have_the_smallest_type_that_holds_what_the_rescale_may_yield(
    tmp_path: Path, stored: str, bits: int, slope: float, intercept: float, dtype: str
) -> None:
    values = (np.abs(VOXELS) % 200).astype(stored)

    def edit(dataset: Dataset, z: int) -> None:
        dataset.BitsStored, dataset.HighBit = bits, bits - 1
        dataset.RescaleSlope, dataset.RescaleIntercept = slope, intercept

    volume = Volume.read(write_series(tmp_path / "series", values, edit=edit))
    assert volume.array.dtype == dtype
    np.testing.assert_allclose(volume.array, values.astype(float) * slope + intercept)


def test_slices_with_and_without_a_sign_are_each_read_right(tmp_path: Path) -> None:
    def edit(dataset: Dataset, z: int) -> None:
        if z == 7:
            set_pixels(dataset, np.full(VOXELS.shape[1:], 40000, np.uint16))

    volume = Volume.read(write_series(tmp_path / "series", edit=edit))
    assert [int(one.max()) for one in volume.array].count(40000) == 1
