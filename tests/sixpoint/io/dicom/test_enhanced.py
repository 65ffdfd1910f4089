"""Multi-frame files: the functional groups of the frames are their geometry and their rescale."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from pydicom import Dataset
from pydicom.uid import (
    CTImageStorage,
    EnhancedMRImageStorage,
    EnhancedPETImageStorage,
    MultiFrameGrayscaleWordSecondaryCaptureImageStorage,
    NuclearMedicineImageStorage,
    RTDoseStorage,
)

from sixpoint.errors import VolumeError
from sixpoint.geometry import Geometry
from sixpoint.volume import Volume
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

COUNT = len(VOXELS)
GEOMETRY = Geometry((10, 9, 12), SPACING, ORIGIN)


def moved(slices: list[int], by: tuple[float, float, float]) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    """Even positions, some of which are moved (LPS, mm)."""
    positions = positions_along(COUNT)
    positions[slices] += by
    return positions


def test_an_enhanced_file_reads_as_the_series_of_its_frames_does(tmp_path: Path) -> None:
    volume = Volume.read(write_enhanced(tmp_path / "e.dcm"))
    assert np.array_equal(volume.array, VOXELS)
    assert volume.array.dtype == np.int16
    assert volume.geometry == GEOMETRY
    assert volume.digest == Volume.read(write_series(tmp_path / "series")).digest


def test_a_folder_may_hold_the_file(tmp_path: Path) -> None:
    write_enhanced(tmp_path / "e.dcm")
    assert Volume.read(tmp_path).geometry == GEOMETRY


@pytest.mark.parametrize("shared_groups", [True, False])
def test_frames_in_another_order_than_space_are_sorted(tmp_path: Path, shared_groups: bool) -> None:
    order = np.random.default_rng(1).permutation(COUNT).tolist()
    volume = Volume.read(write_enhanced(tmp_path / "e.dcm", order=order, shared_groups=shared_groups))
    assert np.array_equal(volume.array, VOXELS)
    assert volume.geometry == GEOMETRY


def test_each_frame_has_its_own_slope_and_intercept(tmp_path: Path) -> None:
    rescale = [(1 + 0.2 * (z % 5), -10.0 * z) for z in range(COUNT)]
    path = write_enhanced(tmp_path / "e.dcm", rescale=rescale, sop_class=EnhancedPETImageStorage)
    expected = np.stack(
        [values * slope + intercept for values, (slope, intercept) in zip(VOXELS, rescale, strict=True)]
    )
    volume = Volume.read(path)
    assert volume.array.dtype == np.float32
    np.testing.assert_allclose(volume.array, expected, rtol=1e-6)


@pytest.mark.parametrize(
    ("positions", "why"),
    [
        (moved([*range(6, COUNT)], (0, 0, 3 * SPACING[2])), "missing or unevenly spaced"),
        (moved([5], (0, 0, 0.5)), "missing or unevenly spaced"),
        (positions_along(COUNT) + np.arange(COUNT)[:, None] * [0, 0.9, 0], "tilted gantry"),
        (moved([5], (0.5, 0, 0)), "shifted sideways"),
        (np.repeat(positions_along(COUNT // 2), 2, axis=0), "12 slices at 6 positions: several times, echoes"),
        (np.tile(positions_along(COUNT // 2), (2, 1)), "12 slices at 6 positions: several times, echoes"),
        (np.tile(positions_along(1), (COUNT, 1)), "12 slices at 1 positions"),
    ],
    ids=["gap", "uneven", "tilt", "sideways", "echoes", "times", "one place"],
)
def test_frames_that_are_no_upright_stack_are_refused(
    tmp_path: Path, positions: np.ndarray[tuple[int, ...], np.dtype[np.float64]], why: str
) -> None:
    # A file and the series of the same slices go through one check.
    for path in (
        write_enhanced(tmp_path / "e.dcm", positions=positions, sop_class=EnhancedMRImageStorage),
        write_series(tmp_path / "series", positions=positions),
    ):
        with pytest.raises(VolumeError, match=why):
            Volume.read(path)


@pytest.mark.parametrize("digits", [2, 5])
def test_positions_that_were_rounded_give_the_true_spacing(tmp_path: Path, digits: int) -> None:
    step = 5 / 7
    positions = np.round(positions_along(COUNT, step=step), digits)
    volume = Volume.read(write_enhanced(tmp_path / "e.dcm", positions=positions))
    assert volume.geometry.spacing == pytest.approx((0.8, 1.1, step), abs=10**-digits / COUNT)


def test_a_frame_off_by_micrometres_changes_nothing(tmp_path: Path) -> None:
    path = write_enhanced(tmp_path / "e.dcm", positions=moved([7], (0, 0, 0.002)))
    assert Volume.read(path).geometry == GEOMETRY


def stack(frame: Dataset, z: int) -> None:
    frame.FrameContentSequence[0].StackID = str(z // 6)


def time(frame: Dataset, z: int) -> None:
    frame.FrameContentSequence[0].TemporalPositionIndex = 1 + z % 2


def echo(frame: Dataset, z: int) -> None:
    frame.MREchoSequence = [Dataset()]
    frame.MREchoSequence[0].EffectiveEchoTime = 10.0 + z % 2


def orientation(frame: Dataset, z: int) -> None:
    frame.PlaneOrientationSequence = [Dataset()]
    frame.PlaneOrientationSequence[0].ImageOrientationPatient = list(AXIAL) if z else [1, 0, 0, 0, 0, -1]


def pixel_spacing(frame: Dataset, z: int) -> None:
    frame.PixelMeasuresSequence = [Dataset()]
    frame.PixelMeasuresSequence[0].PixelSpacing = [1.1, 0.8] if z else [1.1, 0.9]


def no_position(frame: Dataset, z: int) -> None:
    if z == 4:
        del frame.PlanePositionSequence


@pytest.mark.parametrize(
    ("edit_frame", "why"),
    [
        (stack, "2 stacks"),
        (time, "2 times"),
        (echo, "2 echo times"),
        (orientation, "frame 2 has another orientation than frame 1"),
        (pixel_spacing, "frame 2 has another pixel spacing than frame 1"),
        (no_position, "frame 5 has no position"),
    ],
)
def test_frames_of_several_kinds_are_refused(tmp_path: Path, edit_frame: object, why: str) -> None:
    path = write_enhanced(tmp_path / "e.dcm", edit_frame=edit_frame)  # type: ignore[arg-type]  # one of those above
    with pytest.raises(VolumeError, match=why):
        Volume.read(path)


def fewer_groups(dataset: Dataset) -> None:
    dataset.PerFrameFunctionalGroupsSequence.pop()


def no_measures(dataset: Dataset) -> None:
    del dataset.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence


def no_orientation(dataset: Dataset) -> None:
    del dataset.SharedFunctionalGroupsSequence[0].PlaneOrientationSequence


def skewed(dataset: Dataset) -> None:
    dataset.SharedFunctionalGroupsSequence[0].PlaneOrientationSequence[0].ImageOrientationPatient = [1, 0, 0, 0.5, 1, 0]


def short_pixels(dataset: Dataset) -> None:
    dataset.PixelData = dataset.PixelData[:-200]


def floats(dataset: Dataset) -> None:
    dataset.BitsAllocated = dataset.BitsStored = 32
    dataset.HighBit = 31
    dataset.FloatPixelData = VOXELS.astype("<f4").tobytes()
    del dataset.PixelData


@pytest.mark.parametrize(
    ("edit", "why"),
    [
        (fewer_groups, "announces 12 frames and describes 11"),
        (no_measures, "no usable PixelSpacing"),
        (no_orientation, "no ImageOrientationPatient"),
        (skewed, "not two unit vectors at right angles"),
        (short_pixels, "cannot be decoded; they are damaged"),
        (floats, "no pixels of whole numbers"),
    ],
)
def test_a_header_that_lacks_or_contradicts_something_is_refused(tmp_path: Path, edit: object, why: str) -> None:
    path = write_enhanced(tmp_path / "e.dcm", edit=edit)  # type: ignore[arg-type]  # one of those above
    with pytest.raises(VolumeError, match=why):
        Volume.read(path)


@pytest.mark.parametrize("sop_class", [CTImageStorage, MultiFrameGrayscaleWordSecondaryCaptureImageStorage])
@pytest.mark.parametrize("place", [True, False])
def test_frames_without_functional_groups_need_a_spacing_from_the_user(
    tmp_path: Path, sop_class: str, place: bool
) -> None:
    dataset = header(sop_class)
    dataset.SliceThickness = 2.5
    if place:
        dataset.ImagePositionPatient, dataset.ImageOrientationPatient = list(ORIGIN), list(AXIAL)
        dataset.PixelSpacing = [1.1, 0.8]
    set_pixels(dataset, VOXELS)
    dataset.save_as(tmp_path / "x.dcm", enforce_file_format=True)
    with pytest.raises(VolumeError, match=r"--spacing X,Y,Z, or spacing=\(x, y, z\)"):
        Volume.read(tmp_path / "x.dcm")
    volume = Volume.read(tmp_path / "x.dcm", spacing=SPACING)
    assert np.array_equal(volume.array, VOXELS)
    assert volume.geometry == Geometry((10, 9, 12), SPACING)


def dose(path: Path, offsets: list[float]) -> Path:
    """An RT dose whose planes lie at these distances (mm) from the first."""
    dataset = header(RTDoseStorage)
    dataset.ImagePositionPatient, dataset.ImageOrientationPatient = list(ORIGIN), list(AXIAL)
    dataset.PixelSpacing, dataset.DoseGridScaling = [1.1, 0.8], 0.5
    dataset.GridFrameOffsetVector, dataset.FrameIncrementPointer = offsets, 0x3004000C
    set_pixels(dataset, (VOXELS + 500).astype(np.uint16))
    dataset.save_as(path, enforce_file_format=True)
    return path


@pytest.mark.parametrize("first", [0.0, ORIGIN[2]], ids=["relative", "patient coordinates"])
def test_the_planes_of_a_dose_lie_where_its_grid_says(tmp_path: Path, first: float) -> None:
    volume = Volume.read(dose(tmp_path / "even.dcm", [first + 2.5 * z for z in range(COUNT)]))
    assert volume.geometry == GEOMETRY
    np.testing.assert_allclose(volume.array, (VOXELS + 500) * 0.5)
    with pytest.raises(VolumeError, match="missing or unevenly spaced"):
        Volume.read(dose(tmp_path / "uneven.dcm", [first + 2.5 * z + 10 * (z > 6) for z in range(COUNT)]))


@pytest.mark.parametrize("step", [2.5, -2.5])
def test_a_reconstructed_nuclear_medicine_image_lies_where_its_detector_says(tmp_path: Path, step: float) -> None:
    dataset, detector = header(NuclearMedicineImageStorage), Dataset()
    detector.ImagePositionPatient, detector.ImageOrientationPatient = list(ORIGIN), list(AXIAL)
    dataset.DetectorInformationSequence, dataset.PixelSpacing = [detector], [1.1, 0.8]
    dataset.SpacingBetweenSlices, dataset.FrameIncrementPointer = step, 0x00540080
    set_pixels(dataset, VOXELS)
    dataset.save_as(tmp_path / "nm.dcm", enforce_file_format=True)
    volume = Volume.read(tmp_path / "nm.dcm")
    assert np.array_equal(volume.array, VOXELS[:: 1 if step > 0 else -1])
    assert volume.geometry.spacing == SPACING
    assert volume.geometry.origin[2] == min(ORIGIN[2], ORIGIN[2] + 11 * step)


@pytest.mark.parametrize("order", [range(1, COUNT + 1), range(COUNT, 0, -1), [1, 2] * (COUNT // 2)])
def test_nuclear_medicine_frames_out_of_order_are_refused(tmp_path: Path, order: Sequence[int]) -> None:
    dataset, detector = header(NuclearMedicineImageStorage), Dataset()
    detector.ImagePositionPatient, detector.ImageOrientationPatient = list(ORIGIN), list(AXIAL)
    dataset.DetectorInformationSequence, dataset.PixelSpacing = [detector], [1.1, 0.8]
    dataset.SpacingBetweenSlices, dataset.FrameIncrementPointer = 2.5, 0x00540080
    dataset.SliceVector = list(order)
    set_pixels(dataset, VOXELS)
    dataset.save_as(tmp_path / "nm.dcm", enforce_file_format=True)
    if order == range(1, COUNT + 1):
        assert np.array_equal(Volume.read(tmp_path / "nm.dcm").array, VOXELS)
    else:
        with pytest.raises(VolumeError, match="SliceVector"):
            Volume.read(tmp_path / "nm.dcm")
