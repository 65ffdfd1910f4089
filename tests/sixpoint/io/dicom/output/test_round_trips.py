"""Masks saved as DICOM are read back voxel by voxel, whatever the image's orientation and files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pydicom import Dataset
from pydicom.uid import NuclearMedicineImageStorage

from sixpoint.errors import InvalidArgument
from sixpoint.mask import Mask, unpack
from sixpoint.masks.objects import LabelledObject
from sixpoint.prompts import InitialMask
from sixpoint.volume import Volume
from tests.sixpoint.geometries import rotation
from tests.sixpoint.io.dicom.dicom_files import (
    AXIAL,
    ORIGIN,
    SPACING,
    VOXELS,
    header,
    positions_along,
    set_pixels,
    write_enhanced,
    write_series,
)
from tests.sixpoint.io.dicom.output.saving import KIDNEY, LIVER, OVERLAPPING, read_back, save

KINDS = ("seg", "labelmap", "rtstruct")
TWO = (LabelledObject(1, "liver", LIVER), LabelledObject(4, "Left kidney", KIDNEY))
ORIENTATIONS = [
    (*(a * sign_a).tolist(), *(b * sign_b).tolist())
    for n, a in enumerate(np.eye(3))
    for m, b in enumerate(np.eye(3))
    for sign_a in (1, -1)
    for sign_b in (1, -1)
    if n != m
]


@pytest.mark.parametrize("kind", ["seg", "rtstruct"])
@pytest.mark.parametrize("orientation", [*ORIENTATIONS, (0.8, 0.6, 0, -0.6, 0.8, 0)], ids=str)
def test_a_series_of_any_orientation(tmp_path: Path, kind: str, orientation: tuple[float, ...]) -> None:
    series = write_series(tmp_path / "series", orientation=orientation)
    save(tmp_path / "mask.dcm", series, TWO, kind=kind)
    assert np.array_equal(read_back(tmp_path / "mask.dcm", series, "liver"), LIVER)
    assert np.array_equal(read_back(tmp_path / "mask.dcm", series, "Left kidney"), KIDNEY)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", range(8))
def test_any_mask_of_any_image(tmp_path: Path, kind: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    axes = rotation(*rng.normal(size=4))
    orientation = (*axes[:, 0].tolist(), *axes[:, 1].tolist())
    voxels = rng.integers(-500, 500, rng.integers((2, 3, 3), 11)).astype(np.int16)
    if seed % 2:
        order = rng.permutation(len(voxels)).tolist()
        image = write_enhanced(tmp_path / "image.dcm", voxels, orientation=orientation, order=order)
    else:
        image = write_series(tmp_path / "series", voxels, orientation=orientation)
    mask = rng.random(voxels.shape) < rng.choice((0.05, 0.3, 0.6, 1.0))
    mask[rng.integers(len(mask))] = False
    mask[0, 0, 0] = True
    save(tmp_path / "mask.dcm", image, [LabelledObject(1, "", mask)], kind=kind)
    assert np.array_equal(read_back(tmp_path / "mask.dcm", image), mask)


def test_slices_of_few_pixels_are_no_binary_segmentation(tmp_path: Path) -> None:
    image = write_series(tmp_path / "series", VOXELS[:, :2, :3])
    mask = LabelledObject(1, "", LIVER[:, :2, :3] | KIDNEY[:, 3:5, :3])
    with pytest.raises(InvalidArgument, match=r"slices of fewer than 8 pixels .* write a label map"):
        save(tmp_path / "mask.dcm", image, [mask])
    save(tmp_path / "mask.dcm", image, [mask], kind="labelmap")
    assert np.array_equal(read_back(tmp_path / "mask.dcm", image), mask.voxels)


@pytest.mark.parametrize("kind", ["seg", "rtstruct"])
def test_objects_may_overlap(tmp_path: Path, kind: str) -> None:
    series = write_series(tmp_path / "series")
    objects = [LabelledObject(2, "liver", LIVER), LabelledObject(3, "both", OVERLAPPING)]
    made = save(tmp_path / "mask.dcm", series, objects, kind=kind)
    assert np.array_equal(read_back(tmp_path / "mask.dcm", series, "liver"), LIVER)
    assert np.array_equal(read_back(tmp_path / "mask.dcm", series, "both"), OVERLAPPING)
    if kind == "seg":
        assert made.SegmentsOverlap == "YES"


@pytest.mark.parametrize("kind", KINDS)
def test_the_box_of_an_object_is_enough(tmp_path: Path, kind: str) -> None:
    series = write_series(tmp_path / "series")
    item = LabelledObject(1, "kidney", KIDNEY[9:10, 1:9, :6], (0, 1, 9))
    save(tmp_path / "mask.dcm", series, [item], kind=kind)
    assert np.array_equal(read_back(tmp_path / "mask.dcm", series), KIDNEY)


@pytest.mark.parametrize("kind", KINDS)
def test_the_frames_of_one_file_in_any_order(tmp_path: Path, kind: str) -> None:
    order = np.random.default_rng(5).permutation(len(VOXELS)).tolist()
    image = write_enhanced(tmp_path / "image.dcm", order=order, shared_groups=False)
    made = save(tmp_path / "mask.dcm", image, TWO, kind=kind)
    assert np.array_equal(read_back(tmp_path / "mask.dcm", image, "liver"), LIVER)
    if kind == "rtstruct":
        frames = {
            (contour.ContourImageSequence[0].ReferencedFrameNumber, contour.ContourData[2])
            for contour in made.ROIContourSequence[0].ContourSequence
        }
        z = Volume.read(image).geometry.index_to_point([(0, 0, n) for n in order])[:, 2]
        assert all(np.isclose(z[frame - 1], float(place)) for frame, place in frames)
        return
    for frame in made.PerFrameFunctionalGroupsSequence:
        reference = frame.DerivationImageSequence[0].SourceImageSequence[0].ReferencedFrameNumber
        place = frame.PlanePositionSequence[0].ImagePositionPatient
        assert np.allclose(place, positions_along(len(VOXELS))[order[reference - 1]])


@pytest.mark.parametrize("kind", KINDS)
def test_an_image_of_one_slice(tmp_path: Path, kind: str) -> None:
    series = write_series(tmp_path / "series", VOXELS[:1])
    volume = Volume.read(series, spacing=SPACING)
    Mask(LIVER[3:4].astype(np.uint8), volume.geometry).save(tmp_path / "mask.dcm", dicom=kind)  # type: ignore[arg-type]
    mask = InitialMask.read(tmp_path / "mask.dcm").on_grid(volume.geometry)
    assert np.array_equal(unpack(mask.packed, volume.geometry.size), LIVER[3:4])


@pytest.mark.parametrize("kind", KINDS)
def test_the_frames_of_an_nm_file_without_functional_groups(tmp_path: Path, kind: str) -> None:
    dataset, detector = header(NuclearMedicineImageStorage), Dataset()
    detector.ImagePositionPatient, detector.ImageOrientationPatient = list(ORIGIN), list(AXIAL)
    dataset.DetectorInformationSequence, dataset.PixelSpacing = [detector], [SPACING[1], SPACING[0]]
    dataset.SpacingBetweenSlices, dataset.FrameIncrementPointer = SPACING[2], 0x00540080
    set_pixels(dataset, VOXELS)
    image = tmp_path / "nm.dcm"
    dataset.save_as(image, enforce_file_format=True)
    save(tmp_path / "mask.dcm", image, TWO, kind=kind)
    assert np.array_equal(read_back(tmp_path / "mask.dcm", image, "liver"), LIVER)
