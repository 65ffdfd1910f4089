"""DICOM SEG as a mask: one segment, in patient space, on the grid of the image."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import highdicom
import numpy as np
import numpy.typing as npt
import pydicom
import pytest
from highdicom.seg import SegmentationTypeValues
from pydicom.sr.codedict import codes

from sixpoint._typing import Bools
from sixpoint.cli.prompts import place_masks, read_prompts
from sixpoint.errors import PromptError, VolumeError
from sixpoint.io.dicom.segmentations import find_segmentation, read_segment
from sixpoint.mask import unpack
from sixpoint.prompts import InitialMask
from sixpoint.volume import Volume
from tests.sixpoint.geometries import reordered
from tests.sixpoint.io.dicom.dicom_files import VOXELS, write_series
from tests.support.data import shared

LABELS = ("Liver", "Left kidney", "Tumour")
KINDS = ("BINARY", "FRACTIONAL", "LABELMAP")

LIVER = np.zeros(VOXELS.shape, bool)
LIVER[2:6, 1:7, 2:9] = True
LIVER[3, 2, 3] = False
KIDNEY = np.zeros(VOXELS.shape, bool)
KIDNEY[5:9, 7:9, :5] = True


def write_segmentation(
    path: Path,
    series: Path,
    masks: Sequence[Bools],
    *,
    kind: str = "BINARY",
    omit_empty_frames: bool = True,
    fractions: tuple[float, float] = (0.4, 0.6),
    fractional_type: str = "OCCUPANCY",
) -> Path:
    """Write masks [z, y, x] of a series as segments 1, 2, ... of a DICOM SEG, and return its path.

    A FRACTIONAL one has the first of the fractions outside the masks, but 0 in the first slice, and the second inside.
    """
    images = [pydicom.dcmread(file) for file in sorted(series.iterdir())]
    stacked = np.stack(masks, axis=-1)
    pixels: npt.NDArray[np.generic] = stacked.astype(np.uint8)
    if kind == "LABELMAP":
        pixels = (stacked * np.arange(1, len(masks) + 1)).max(axis=-1).astype(np.uint8)
    elif kind == "FRACTIONAL":
        pixels = np.where(stacked, fractions[1], fractions[0]) * (np.arange(stacked.shape[0])[:, None, None, None] > 0)
    segments = [
        highdicom.seg.SegmentDescription(
            segment_number=number,
            segment_label=label,
            segmented_property_category=codes.SCT.Organ,
            segmented_property_type=codes.SCT.Liver,
            algorithm_type=highdicom.seg.SegmentAlgorithmTypeValues.MANUAL,
        )
        for number, label in enumerate(LABELS[: len(masks)], start=1)
    ]
    highdicom.seg.Segmentation(
        source_images=images,
        pixel_array=pixels,
        segmentation_type=SegmentationTypeValues[kind],
        fractional_type=fractional_type,
        segment_descriptions=segments,
        series_instance_uid=highdicom.UID(),
        series_number=9,
        sop_instance_uid=highdicom.UID(),
        instance_number=1,
        manufacturer="none",
        manufacturer_model_name="none",
        software_versions="0",
        device_serial_number="0",
        omit_empty_frames=omit_empty_frames,
        max_fractional_value=200,
    ).save_as(path)
    return path


def on_image(text: str, image: Path, *, threshold: float | None = None) -> npt.NDArray[np.uint8]:
    """The mask of ``--mask TEXT`` on the grid of an image, as it would be sent."""
    prompts = read_prompts(points="", points_file=None, box="", mask=text, clicks=None, frame="", threshold=threshold)
    geometry = Volume.read(image).geometry
    (mask,) = place_masks(prompts, geometry)
    assert isinstance(mask, InitialMask)
    mask.to_index(geometry)
    return unpack(mask.packed, geometry.size)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("omit_empty_frames", [True, False])
def test_a_segment_lies_on_the_image_that_it_was_drawn_on(tmp_path: Path, kind: str, omit_empty_frames: bool) -> None:
    series = write_series(tmp_path / "series")
    path = write_segmentation(
        tmp_path / "seg.dcm", series, [LIVER, KIDNEY], kind=kind, omit_empty_frames=omit_empty_frames
    )
    assert np.array_equal(on_image(f"{path}:1", series), LIVER)
    assert np.array_equal(on_image(f"{path}:left KIDNEY", series), KIDNEY)


def test_segments_may_overlap(tmp_path: Path) -> None:
    series = write_series(tmp_path / "series")
    path = write_segmentation(tmp_path / "seg.dcm", series, [LIVER, KIDNEY | LIVER])
    assert np.array_equal(on_image(f"{path}:1", series), LIVER)
    assert np.array_equal(on_image(f"{path}:2", series), KIDNEY | LIVER)


def test_the_only_segment_needs_no_choice_and_a_folder_may_hold_the_file(tmp_path: Path) -> None:
    series = write_series(tmp_path / "series")
    (tmp_path / "folder").mkdir()
    write_segmentation(tmp_path / "folder" / "seg.dcm", series, [LIVER])
    assert np.array_equal(on_image(str(tmp_path / "folder"), series), LIVER)


def test_slices_between_those_of_the_object_may_be_left_out(tmp_path: Path) -> None:
    series = write_series(tmp_path / "series")
    parts = LIVER.copy()
    parts[3:5] = False
    path = write_segmentation(tmp_path / "seg.dcm", series, [parts])
    assert np.array_equal(on_image(str(path), series), parts)


def test_an_object_in_one_slice_is_read(tmp_path: Path) -> None:
    series = write_series(tmp_path / "series")
    slice_ = np.zeros_like(LIVER)
    slice_[4] = LIVER[4]
    path = write_segmentation(tmp_path / "seg.dcm", series, [slice_])
    assert np.array_equal(on_image(str(path), series), slice_)


@pytest.mark.parametrize(
    "orientation", [(1, 0, 0, 0, 0, -1), (0, 1, 0, 0, 0, -1), (-1, 0, 0, 0, -1, 0), (0.8, 0.6, 0, -0.6, 0.8, 0)]
)
def test_a_segment_of_any_orientation_lies_on_its_image(tmp_path: Path, orientation: tuple[float, ...]) -> None:
    series = write_series(tmp_path / "series", orientation=orientation)
    path = write_segmentation(tmp_path / "seg.dcm", series, [LIVER])
    assert np.array_equal(on_image(str(path), series), LIVER)


def test_an_image_with_other_axes_gets_the_segment_at_the_same_place(tmp_path: Path) -> None:
    series = write_series(tmp_path / "series")
    axes, flips = (1, 2, 0), (True, False, True)
    image = Volume.read(series)
    Volume(*reordered(image.array, image.geometry, axes, flips)).write(tmp_path / "image.nii.gz")
    expected, _ = reordered(LIVER, image.geometry, axes, flips)
    path = write_segmentation(tmp_path / "seg.dcm", series, [LIVER])
    assert np.array_equal(on_image(str(path), tmp_path / "image.nii.gz"), expected)


def test_a_single_frame_without_a_spacing_between_slices_is_read(tmp_path: Path) -> None:
    series = write_series(tmp_path / "series")
    slice_ = np.zeros_like(LIVER)
    slice_[4] = LIVER[4]
    path = write_segmentation(tmp_path / "seg.dcm", series, [slice_])
    dataset = pydicom.dcmread(path)
    del dataset.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0].SpacingBetweenSlices
    dataset.save_as(path)
    assert np.array_equal(on_image(str(path), series), slice_)


def test_several_segments_need_a_choice(tmp_path: Path) -> None:
    series = write_series(tmp_path / "series")
    path = write_segmentation(tmp_path / "seg.dcm", series, [LIVER, KIDNEY])
    with pytest.raises(VolumeError, match=r"2 segments: 1 \(Liver\), 2 \(Left kidney\); choose one .* FILE:NUMBER"):
        read_segment(path, path)
    other: int | str
    for other in (3, "spleen", "3"):
        with pytest.raises(VolumeError, match=rf"no segment {other!r}; it has 1 \(Liver\), 2 \(Left kidney\)"):
            read_segment(path, path, other)
    with pytest.raises(VolumeError, match="asked for segment 0, which is the background; expected a segment from 1 on"):
        read_segment(path, path, 0)


def test_a_label_of_digits_is_no_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.sixpoint.io.dicom.test_segmentations.LABELS", ("2", "1", "Tumour"))
    series = write_series(tmp_path / "series")
    path = write_segmentation(tmp_path / "seg.dcm", series, [LIVER, KIDNEY])
    assert np.array_equal(on_image(f"{path}:1", series), LIVER)
    assert InitialMask.read(path, label="1") == InitialMask.read(path, label=2)


@pytest.mark.parametrize(("threshold", "object_"), [(0.3, np.ones_like(LIVER)), (0.5, LIVER), (0.6, LIVER)])
def test_a_probability_needs_a_threshold(tmp_path: Path, threshold: float, object_: Bools) -> None:
    series = write_series(tmp_path / "series")
    path = write_segmentation(
        tmp_path / "seg.dcm", series, [LIVER], kind="FRACTIONAL", fractional_type="PROBABILITY", fractions=(0.4, 0.6)
    )
    with pytest.raises(VolumeError, match=r"voxels with fractions, such as 0\.4.* give the threshold"):
        on_image(str(path), series)
    expected = object_.copy()
    expected[0] = False
    assert np.array_equal(on_image(str(path), series, threshold=threshold), expected)
    mask = InitialMask.read(path, threshold=threshold).on_grid(Volume.read(series).geometry)
    assert mask.packed.voxel_count == np.count_nonzero(expected)
    with pytest.raises(VolumeError, match=r"has no voxel of segment 1 from 0\.7 on"):
        on_image(str(path), series, threshold=0.7)


def test_a_probability_of_0_and_1_is_a_mask(tmp_path: Path) -> None:
    series = write_series(tmp_path / "series")
    path = write_segmentation(
        tmp_path / "seg.dcm", series, [LIVER], kind="FRACTIONAL", fractional_type="PROBABILITY", fractions=(0.0, 1.0)
    )
    assert np.array_equal(on_image(str(path), series), LIVER)


@pytest.mark.parametrize("fraction", [0.495, 0.5])
def test_a_voxel_that_is_filled_by_half_is_the_object(tmp_path: Path, fraction: float) -> None:
    series = write_series(tmp_path / "series")
    path = write_segmentation(tmp_path / "seg.dcm", series, [LIVER], kind="FRACTIONAL", fractions=(fraction, 1))
    expected = LIVER.copy()
    expected[1:] |= fraction >= 0.5
    assert np.array_equal(on_image(str(path), series), expected)
    assert np.array_equal(on_image(str(path), series, threshold=0.9), LIVER)


def test_a_mask_of_another_image_is_refused(tmp_path: Path) -> None:
    series = write_series(tmp_path / "series")
    path = write_segmentation(tmp_path / "seg.dcm", series, [LIVER])
    with pytest.raises(PromptError, match="exceeds the image of size"):
        on_image(str(path), write_series(tmp_path / "part", VOXELS[:, :5]))
    oblique = write_series(tmp_path / "oblique", orientation=(0.8, 0.6, 0, -0.6, 0.8, 0))
    with pytest.raises(PromptError, match="another grid than the image"):
        on_image(str(path), oblique)


def test_slices_that_lie_unevenly_are_refused(tmp_path: Path) -> None:
    series = write_series(tmp_path / "series")
    path = write_segmentation(tmp_path / "seg.dcm", series, [LIVER])
    dataset = pydicom.dcmread(path)
    dataset.PerFrameFunctionalGroupsSequence[1].PlanePositionSequence[0].ImagePositionPatient[2] += 0.9
    dataset.save_as(path)
    with pytest.raises(VolumeError, match="lie unevenly or without a position"):
        read_segment(path, path)


def test_a_folder_of_several_segmentations_is_refused(tmp_path: Path) -> None:
    series = write_series(tmp_path / "series")
    path = write_segmentation(tmp_path / "seg.dcm", series, [LIVER])
    for name in ("a.dcm", "b.dcm"):
        shutil.copyfile(path, series / name)
    with pytest.raises(VolumeError, match="holds 2 DICOM segmentations; give one file"):
        find_segmentation(series)


def test_a_segmentation_is_no_image(tmp_path: Path) -> None:
    series = write_series(tmp_path / "series")
    path = write_segmentation(tmp_path / "seg.dcm", series, [LIVER])
    with pytest.raises(VolumeError, match="a DICOM segmentation, not an image; give it as --mask"):
        Volume.read(path)
    # Beside its image, it is left out.
    path.rename(series / "seg.dcm")
    assert np.array_equal(Volume.read(series).array, VOXELS)


@pytest.mark.parametrize(
    ("name", "segment", "truth", "label"),
    [
        ("23x38x3/seg/label.seg", "", "23x38x3/nrrd/label.nrrd", 1),
        ("24x38x3/seg/label.seg", "", "24x38x3/nrrd/label.nrrd", 1),
        ("liver.dcm", "", "liver_seg.nrrd", 1),
        ("partial_overlaps.dcm", "1", "partial_overlaps-1.nrrd", 1),
        ("partial_overlaps.dcm", "ORANGE", "partial_overlaps-2.nrrd", 2),
        ("partial_overlaps.dcm", "3", "partial_overlaps-3.nrrd", 3),
        ("partial_overlaps.dcm", "4", "partial_overlaps-1.nrrd", 4),
        ("partial_overlaps.dcm", "DARK_BLUE", "partial_overlaps-1.nrrd", 5),
        ("sparse-labelmap-noppv.dcm", "", "sparse_labelmap_noppv_seg.nrrd", 1),
        ("sparse-labelmap-ppv5.dcm", "", "sparse_labelmap_ppv5_seg.nrrd", 1),
    ],
)
def test_public_segmentations_are_the_masks_that_dcmqi_makes_of_them(
    name: str, segment: str, truth: str, label: int
) -> None:
    path, image = shared(f"dicom/dicom_seg/{name}"), shared(f"dicom/dicom_seg/{truth}")
    expected = Volume.read(image).array == label
    assert expected.any()
    assert np.array_equal(on_image(f"{path}:{segment}" if segment else str(path), image), expected)
