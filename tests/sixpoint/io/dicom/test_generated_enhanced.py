"""200 generated multi-frame files against their frames as pydicom gives them: read right, or refused, never else."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pydicom
import pytest
from pydicom import Dataset
from pydicom.uid import EnhancedCTImageStorage, EnhancedMRImageStorage, EnhancedPETImageStorage

from sixpoint.errors import VolumeError
from sixpoint.volume import Volume
from tests.sixpoint.geometries import rotation
from tests.sixpoint.io.dicom.dicom_files import positions_along, write_enhanced

FAULTS = ("none", "none", "rounding", "gap", "tilt", "times", "stacks", "orientations", "spacings", "uneven")
"""What is wrong with a file, in turn; rounding and the first two are nothing wrong."""


@dataclass(frozen=True)
class Made:
    """A generated file.

    Attributes:
        path: Place of the file.
        step: Millimetres between slices.
        good: Whether it is a volume.
    """

    path: Path
    step: float
    good: bool


def make(folder: Path, seed: int) -> Made:
    """Make the file of a seed."""
    rng = np.random.default_rng(seed)
    fault = FAULTS[seed % len(FAULTS)]
    count = int(rng.integers(4, 9)) * 2
    quaternion = rng.normal(size=4) if rng.random() < 0.7 else np.array([1.0, 0, 0, 0])
    axes = rotation(*quaternion)[:, rng.permutation(3)] * rng.choice([-1, 1], 3)
    step, pixel_spacing = float(rng.uniform(0.4, 6)), rng.uniform(0.3, 3, 2).round(4).tolist()
    places = positions_along(count, step=step, origin=rng.uniform(-400, 400, 3), orientation=[*axes[:, 0], *axes[:, 1]])
    normal = np.cross(axes[:, 0], axes[:, 1])
    if fault == "rounding":
        places = places.round(2 if step > 1 else 3)
    elif fault == "gap":
        places[int(rng.integers(1, count)) :] += normal * step * int(rng.integers(1, 4))
    elif fault == "tilt":
        places += np.arange(count)[:, None] * axes[:, 1] * step * rng.uniform(0.15, 0.6)
    elif fault == "times":
        half = places[: count // 2]
        places = np.concatenate([half, half]) if rng.random() < 0.5 else np.repeat(half, 2, axis=0)
    elif fault == "uneven":
        places[int(rng.integers(1, count - 1))] += normal * step * rng.uniform(0.2, 0.45)

    def edit_frame(frame: Dataset, z: int) -> None:
        if fault == "stacks":
            frame.FrameContentSequence[0].StackID = str(1 + z % 2)
        if fault == "orientations" and z == 1:
            turned = Dataset()
            turned.ImageOrientationPatient = [*axes[:, 1].round(9), *axes[:, 0].round(9)]
            frame.PlaneOrientationSequence = [turned]
        if fault == "spacings" and z == 1:
            other = Dataset()
            other.PixelSpacing = [value * 1.2 for value in pixel_spacing]
            frame.PixelMeasuresSequence = [other]

    signed = bool(rng.integers(2))
    voxels = rng.integers(-2000 if signed else 0, 3000, (count, 6, 7)).astype(np.int16 if signed else np.uint16)
    rescale = [(float(slope), float(intercept)) for slope, intercept in rng.uniform(0.1, 3, (count, 2)).round(4)]
    path = write_enhanced(
        folder / f"{seed}.dcm",
        voxels,
        order=rng.permutation(count).tolist(),
        positions=places,
        orientation=[*axes[:, 0], *axes[:, 1]],
        pixel_spacing=pixel_spacing,
        rescale=rescale if rng.random() < 0.5 else None,
        shared_groups=fault not in ("orientations", "spacings") and bool(rng.integers(2)),
        sop_class=[EnhancedCTImageStorage, EnhancedMRImageStorage, EnhancedPETImageStorage][seed % 3],
        edit_frame=edit_frame,
    )
    return Made(path, step, fault in ("none", "rounding"))


def frames_by_pydicom(path: Path) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """The positions of a file's frames, and their rescaled values, in the order of the file."""
    dataset = pydicom.dcmread(path)
    shared = dataset.SharedFunctionalGroupsSequence[0]
    places, values = [], []
    for frame, stored in zip(dataset.PerFrameFunctionalGroupsSequence, dataset.pixel_array, strict=True):
        own = frame if "PixelValueTransformationSequence" in frame else shared
        rescale = own.PixelValueTransformationSequence[0]
        places.append([float(value) for value in frame.PlanePositionSequence[0].ImagePositionPatient])
        values.append(stored * float(rescale.RescaleSlope) + float(rescale.RescaleIntercept))
    return np.array(places), np.array(values)


@pytest.mark.parametrize("first", range(0, 200, 20))
def test_a_multi_frame_file_is_read_right_or_refused(tmp_path: Path, first: int) -> None:
    for seed in range(first, first + 20):
        made = make(tmp_path, seed)
        try:
            volume = Volume.read(made.path)
        except VolumeError:
            assert not made.good, seed
            continue
        assert made.good, seed
        places, values = frames_by_pydicom(made.path)
        # Each frame is the slice whose first voxel is nearest to the frame's own position.
        indices = volume.geometry.point_to_index(places)
        slices = np.rint(indices[:, 2]).astype(int)
        assert sorted(slices.tolist()) == list(range(len(places))), seed
        np.testing.assert_allclose(volume.array[slices], values, rtol=1e-6, err_msg=str(seed))
        np.testing.assert_allclose(indices[:, :2], 0, atol=0.05, err_msg=str(seed))
        np.testing.assert_allclose(indices[:, 2], slices, atol=0.05, err_msg=str(seed))
        assert volume.geometry.spacing[2] == pytest.approx(made.step, rel=0.01), seed
