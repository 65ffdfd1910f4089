"""Masks from DICOM SEG: one segment at a time, in patient space, read by highdicom."""

from __future__ import annotations

from pathlib import Path

import highdicom
import numpy as np

from sixpoint._typing import Counts, Points
from sixpoint.errors import VolumeError
from sixpoint.geometry import Geometry
from sixpoint.io.dicom.guard import reading
from sixpoint.io.dicom.headers import find_series

__all__ = ["find_segmentation", "read_segment"]

# Of a FRACTIONAL segment: a voxel is the object where it is at least as probable, or as full, as this.
_FRACTION = 0.5
# As of the slices of an image, in slices.
_UNEVEN_SLICES = 0.1


def find_segmentation(source: Path) -> Path | None:
    """The DICOM SEG file at a path; None when there is none.

    Args:
        source: DICOM file, or folder.

    Raises:
        VolumeError: When the folder holds several, or a DICOM file is damaged.
    """
    files = [file.path for series in find_series(source) for file in series.files if file.is_segmentation]
    if len(files) > 1:
        raise VolumeError(f"{source} holds {len(files)} DICOM segmentations; give one file")
    return files[0] if files else None


def read_segment(path: Path, source: Path, segment: str = "") -> tuple[Counts, Geometry]:
    """Read one segment of a DICOM SEG: BINARY, LABELMAP or FRACTIONAL (cut at one half).

    Args:
        path: File that :func:`find_segmentation` gives.
        source: Path that the user typed, for error messages.
        segment: Number or label of the segment; may be empty where there is only one.

    Returns:
        Voxels [z, y, x], 0 and 1, of the slices from the first to the last that the file has, and their geometry.

    Raises:
        VolumeError: When the file is damaged, or not a volume in patient space; when the segment does not exist, is
            empty, or has to be chosen.
    """
    with reading(
        f"{source} cannot be read as a DICOM segmentation: its frames are damaged, or lie unevenly or without a "
        "position in the patient"
    ):
        segmentation = highdicom.seg.segread(path)
        number = _choose(segmentation, source, segment)
        # Frames without a voxel of the object may be left out of the file.
        volume = segmentation.get_volume(
            segment_numbers=[number], allow_missing_positions=True, rtol=_UNEVEN_SLICES, skip_overlap_checks=True
        )
    array: Counts = (volume.array[..., 0] >= _FRACTION).astype(np.uint8)
    if not array.any():
        raise VolumeError(f"{source} has no voxel of segment {number}")
    return array, _geometry(volume)


def _choose(segmentation: highdicom.seg.Segmentation, source: Path, segment: str) -> int:
    """The number of a segment that is given by its number or label."""
    labels = {
        number: str(segmentation.get_segment_description(number).segment_label)
        for number in segmentation.segment_numbers
        # Number 0 of a LABELMAP is the background.
        if number
    }
    chosen = [
        number
        for number, label in labels.items()
        if segment in ("", str(number)) or segment.casefold() == label.casefold()
    ]
    if len(chosen) == 1:
        return chosen[0]
    listed = ", ".join(f"{number} ({label})" for number, label in labels.items())
    if chosen:
        raise VolumeError(f"{source} has {len(labels)} segments: {listed}; choose one by number: FILE:NUMBER")
    raise VolumeError(f"{source} has no segment {segment!r}; it has {listed}")


def _geometry(volume: highdicom.Volume) -> Geometry:
    """The geometry of a volume [slice, row, column]."""
    slices, rows, columns = volume.spatial_shape
    slice_mm, row_mm, column_mm = volume.spacing
    direction: Points = np.asarray(volume.direction, np.float64)[:, ::-1]
    x, y, z = volume.position
    return Geometry(
        size=(columns, rows, slices),
        spacing=(column_mm, row_mm, slice_mm),
        origin=(x, y, z),
        direction=tuple(direction.reshape(-1).tolist()),  # type: ignore[arg-type]  # nine of them
    )
