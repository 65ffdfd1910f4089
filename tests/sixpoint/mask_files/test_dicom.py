"""Masks, label maps and segmentations saved under names that end in .dcm."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest

from sixpoint.errors import InvalidArgument, VolumeError
from sixpoint.geometry import Geometry
from sixpoint.mask import Mask, pack, unpack
from sixpoint.prompts import InitialMask
from sixpoint.segmentation import LabelledMask, Segmentation
from sixpoint.volume import Volume
from tests.sixpoint.io.dicom.dicom_files import VOXELS, write_enhanced, write_series
from tests.sixpoint.io.dicom.output.saving import KIDNEY, LIVER, OVERLAPPING, read_back
from tests.support.data import shared


@pytest.fixture
def series(tmp_path: Path) -> Path:
    return write_series(tmp_path / "series")


def mask_of(image: Path, voxels: np.ndarray = LIVER, **fields: Any) -> Mask:
    volume = Volume.read(image)
    return Mask(voxels.astype(np.uint8), volume.geometry, image_digest=volume.digest, **fields)


@pytest.mark.parametrize("kind", [None, "seg", "labelmap", "rtstruct"])
def test_a_mask_is_saved_for_the_image_that_it_was_drawn_on(tmp_path: Path, series: Path, kind: Any) -> None:
    mask_of(series, names={1: "liver"}).save(tmp_path / "new" / "mask.dcm", dicom=kind)
    assert np.array_equal(read_back(tmp_path / "new" / "mask.dcm", series, "liver"), LIVER)
    modality = pydicom.dcmread(tmp_path / "new" / "mask.dcm").Modality
    assert modality == ("RTSTRUCT" if kind == "rtstruct" else "SEG")
    assert len(list((tmp_path / "new").iterdir())) == 1


def test_the_labels_of_a_label_map_are_objects(tmp_path: Path, series: Path) -> None:
    labels = LIVER + 3 * KIDNEY.astype(np.uint8)
    mask_of(series, labels, names={3: "kidney"}).save(tmp_path / "labels.dcm", dicom="labelmap", names=True)
    assert np.array_equal(read_back(tmp_path / "labels.dcm", series, 1), LIVER)
    assert np.array_equal(read_back(tmp_path / "labels.dcm", series, 3), KIDNEY)
    assert not (tmp_path / "labels.json").exists()


def test_labels_of_a_segmentation_may_overlap_and_those_without_voxels_are_left_out(
    tmp_path: Path, series: Path
) -> None:
    volume = Volume.read(series)
    masks = {"both": OVERLAPPING, "nothing": np.zeros_like(LIVER), "liver": LIVER}
    found = {name: LabelledMask(n, pack(m, (0, 0, 0)), None) for n, (name, m) in enumerate(masks.items(), 2)}
    segmentation = Segmentation(found, volume.geometry, "organs", "3", image_digest=volume.digest)
    segmentation.save(tmp_path / "labels.dcm")
    made = pydicom.dcmread(tmp_path / "labels.dcm")
    assert [segment.SegmentLabel for segment in made.SegmentSequence] == ["both", "liver"]
    assert {segment.SegmentAlgorithmType for segment in made.SegmentSequence} == {"AUTOMATIC"}
    assert np.array_equal(read_back(tmp_path / "labels.dcm", series, "both"), OVERLAPPING)
    assert np.array_equal(read_back(tmp_path / "labels.dcm", series, "liver"), LIVER)
    segmentation.mask("liver").save(tmp_path / "liver.dcm")
    assert np.array_equal(read_back(tmp_path / "liver.dcm", series), LIVER)


def test_a_mask_without_a_dicom_image_is_refused_until_its_image_is_named(tmp_path: Path, series: Path) -> None:
    Volume.read(series).write(tmp_path / "image.mha")
    mask = mask_of(tmp_path / "image.mha")
    with pytest.raises(InvalidArgument, match=r"this image was not read from one; name the folder .* source=FOLDER"):
        mask.save(tmp_path / "mask.dcm")
    mask.save(tmp_path / "mask.dcm", source=series)
    assert np.array_equal(read_back(tmp_path / "mask.dcm", series), LIVER)
    with pytest.raises(InvalidArgument, match="is no DICOM file or folder"):
        mask.save(tmp_path / "mask.dcm", source=tmp_path / "image.mha")


def test_another_image_is_refused(tmp_path: Path, series: Path) -> None:
    other = VOXELS.copy()
    other[3, 3, 3] += 1
    write_series(tmp_path / "other", other)
    with pytest.raises(VolumeError, match="does not hold the image that the mask was drawn on"):
        mask_of(series).save(tmp_path / "mask.dcm", source=tmp_path / "other")
    # A mask that was made by hand knows no voxels: the grid must do.
    Mask(LIVER.astype(np.uint8), Volume.read(series).geometry).save(tmp_path / "mask.dcm", source=tmp_path / "other")
    for wrong in (write_series(tmp_path / "part", VOXELS[:-1]), write_enhanced(tmp_path / "turned.dcm", VOXELS[::-1])):
        with pytest.raises(VolumeError, match="does not hold the image"):
            mask_of(series).save(tmp_path / "wrong.dcm", source=wrong)
    assert not (tmp_path / "wrong.dcm").exists()


def test_files_that_changed_since_they_were_read_are_another_image(tmp_path: Path, series: Path) -> None:
    mask = mask_of(series)
    write_series(series, VOXELS + 1)
    with pytest.raises(VolumeError, match="does not hold the image"):
        mask.save(tmp_path / "mask.dcm")


def test_of_several_series_the_image_s_is_found(tmp_path: Path, series: Path) -> None:
    write_series(series, VOXELS[:5], series=2)
    volume = Volume.read(series, series=2)
    mask = Mask(LIVER[:5].astype(np.uint8), volume.geometry, image_digest=volume.digest)
    mask.save(tmp_path / "mask.dcm")
    mask.save(tmp_path / "again.dcm", source=series)
    for name in ("mask.dcm", "again.dcm"):
        made = pydicom.dcmread(tmp_path / name)
        assert (
            made.ReferencedSeriesSequence[0].SeriesInstanceUID
            == f"{pydicom.dcmread(series / '2-001.dcm').SeriesInstanceUID}"
        )


def test_an_image_that_is_there_twice_is_refused_unless_it_is_known_which_was_read(
    tmp_path: Path, series: Path
) -> None:
    write_series(series, series=2)
    volume = Volume.read(series, series=2)
    mask = Mask(LIVER.astype(np.uint8), volume.geometry, image_digest=volume.digest)
    with pytest.raises(VolumeError, match="holds the image 2 times, as several series"):
        mask.save(tmp_path / "mask.dcm", source=series)
    mask.save(tmp_path / "mask.dcm")
    assert np.array_equal(
        unpack(InitialMask.read(tmp_path / "mask.dcm").on_grid(volume.geometry).packed, (10, 9, 12)), LIVER
    )


def test_a_geometry_that_was_changed_is_another_image(tmp_path: Path, series: Path) -> None:
    geometry = Volume.read(series).geometry
    assert geometry.dicom
    moved = replace(geometry, origin=(0.0, 0.0, 0.0))
    with pytest.raises(VolumeError, match="does not hold the image"):
        Mask(LIVER.astype(np.uint8), moved).save(tmp_path / "mask.dcm")


def test_a_file_of_the_image_is_never_overwritten(series: Path) -> None:
    before = {file: file.read_bytes() for file in series.iterdir()}
    for file in (*before, series / "1-001.DCM"):
        with pytest.raises(InvalidArgument, match="would overwrite the input"):
            mask_of(series).save(file)
    assert {file: file.read_bytes() for file in series.iterdir()} == before
    mask_of(series).save(series / "mask.dcm")
    assert Volume.read(series).array.shape == VOXELS.shape


def test_what_cannot_be_written_leaves_the_old_file(tmp_path: Path, series: Path) -> None:
    mask_of(series).save(tmp_path / "mask.dcm")
    before = (tmp_path / "mask.dcm").read_bytes()
    with pytest.raises(InvalidArgument, match="no object has a voxel"):
        mask_of(series, np.zeros_like(LIVER)).save(tmp_path / "mask.dcm")
    assert (tmp_path / "mask.dcm").read_bytes() == before
    (tmp_path / "folder.dcm").mkdir()
    with pytest.raises(VolumeError, match=r"cannot write .*folder\.dcm"):
        mask_of(series).save(tmp_path / "folder.dcm")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["folder.dcm", "mask.dcm", "series"]


def test_a_link_stays_a_link(tmp_path: Path, series: Path) -> None:
    (tmp_path / "link.dcm").symlink_to(tmp_path / "target.dcm")
    mask_of(series).save(tmp_path / "link.dcm")
    assert (tmp_path / "link.dcm").is_symlink()
    assert np.array_equal(read_back(tmp_path / "target.dcm", series), LIVER)


@pytest.mark.parametrize("options", [{"dicom": "seg"}, {"source": "."}, {"creator": "me"}])
def test_options_of_dicom_need_a_name_of_dicom(tmp_path: Path, series: Path, options: dict[str, Any]) -> None:
    with pytest.raises(InvalidArgument, match=r"is not written as DICOM, so dicom, source and creator .* \.dcm"):
        mask_of(series).save(tmp_path / "mask.nii.gz", **options)


def test_an_unknown_kind_is_refused(tmp_path: Path, series: Path) -> None:
    with pytest.raises(
        InvalidArgument, match="unknown kind of DICOM file 'sr'; expected one of seg, labelmap, rtstruct"
    ):
        mask_of(series).save(tmp_path / "mask.dcm", dicom="sr")  # type: ignore[arg-type]


def test_a_real_series_with_empty_uids_is_refused_in_words(tmp_path: Path) -> None:
    volume = Volume.read(shared("dicom/ct_abdomen_series"))
    mask = Mask(np.ones(volume.array.shape, np.uint8), volume.geometry)
    with pytest.raises(VolumeError, match=r"InstanceUID is missing or empty in 20 of 20 files.*write \.nii\.gz"):
        mask.save(tmp_path / "mask.dcm")


@pytest.mark.parametrize("kind", ["seg", "labelmap", "rtstruct"])
def test_a_real_series(tmp_path: Path, kind: Any) -> None:
    series = shared("dicom/ct_tiny_series")
    volume = Volume.read(series)
    threshold = np.percentile(volume.array, 80)
    mask = Mask((volume.array > threshold).astype(np.uint8), volume.geometry, image_digest=volume.digest)
    mask.save(tmp_path / "mask.dcm", dicom=kind)
    assert np.array_equal(read_back(tmp_path / "mask.dcm", series), mask.array)


def test_the_files_that_an_image_came_from_are_not_part_of_its_geometry(series: Path) -> None:
    geometry = Volume.read(series).geometry
    bare = Geometry(geometry.size, geometry.spacing, geometry.origin, geometry.direction)
    assert (geometry, hash(geometry), geometry.packed()) == (bare, hash(bare), bare.packed())
    assert os.fspath(series) not in repr(geometry)
