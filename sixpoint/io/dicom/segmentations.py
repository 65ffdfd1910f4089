"""Masks from DICOM SEG: one segment at a time, in patient space, read by highdicom."""

from __future__ import annotations

from pathlib import Path

import highdicom
import numpy as np

from sixpoint._typing import Bools, Points
from sixpoint.errors import VolumeError
from sixpoint.geometry import Geometry
from sixpoint.io.dicom.guard import reading
from sixpoint.io.dicom.headers import find_series
from sixpoint.masks.labels import object_of

__all__ = ["find_segmentation", "list_segments", "read_segment"]

# Of a FRACTIONAL segment of the type OCCUPANCY: a voxel that is filled by half or more is the object, as it would be in
# a BINARY one. The probability from which a voxel is the object is not in the file.
_HALF_FULL = 0.5
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


def list_segments(path: Path, source: Path) -> dict[int, str]:
    """The labels of the segments of a DICOM SEG by their numbers.

    Args:
        path: File that :func:`find_segmentation` gives.
        source: Path that the user typed, for error messages.

    Raises:
        VolumeError: When the file is damaged.
    """
    with reading(f"{source} cannot be read as a DICOM segmentation: its header is damaged"):
        return _segment_labels(highdicom.seg.segread(path))


def read_segment(
    path: Path, source: Path, segment: int | str | None = None, *, threshold: float | None = None
) -> tuple[Bools, Geometry]:
    """Read one segment of a DICOM SEG: BINARY, LABELMAP or FRACTIONAL.

    Args:
        path: File that :func:`find_segmentation` gives.
        source: Path that the user typed, for error messages.
        segment: Number or label of the segment; None for the only one.
        threshold: Smallest fraction of the object's voxels in a FRACTIONAL segment; None: one half of an OCCUPANCY;
            a PROBABILITY must then be 0 or 1 everywhere.

    Returns:
        Voxels [z, y, x] of the slices from the first to the last that the file has, and their geometry.

    Raises:
        VolumeError: When the file is damaged, or not a volume in patient space; when the segment does not exist, is
            empty, or has to be chosen.
        ValueError: As :func:`~sixpoint.masks.labels.object_of` raises it.
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
        occupancy = str(segmentation.get("SegmentationFractionalType", "")) == "OCCUPANCY"
    if threshold is None and occupancy:
        threshold = _HALF_FULL
    inside = object_of(volume.array[..., 0], threshold=threshold)
    if not inside.any():
        raise VolumeError(
            f"{source} has no voxel of segment {number}" + (f" from {threshold:g} on" if threshold is not None else "")
        )
    return inside, _geometry(volume)


def _choose(segmentation: highdicom.seg.Segmentation, source: Path, segment: int | str | None) -> int:
    """The number of a segment that is given by its number or label."""
    if isinstance(segment, int) and segment < 1:
        raise VolumeError(
            f"{source} is asked for segment {segment}, which is the background; expected a segment from 1 on"
        )
    labels = _segment_labels(segmentation)
    if isinstance(segment, str):
        chosen = [number for number, label in labels.items() if segment.casefold() == label.casefold()]
    else:
        chosen = [number for number in labels if segment in (None, number)]
    if len(chosen) == 1:
        return chosen[0]
    listed = ", ".join(f"{number} ({label})" for number, label in labels.items())
    if chosen:
        raise VolumeError(f"{source} has {len(labels)} segments: {listed}; choose one by number: FILE:NUMBER")
    raise VolumeError(f"{source} has no segment {segment!r}; it has {listed}")


def _segment_labels(segmentation: highdicom.seg.Segmentation) -> dict[int, str]:
    return {
        number: str(segmentation.get_segment_description(number).segment_label)
        for number in segmentation.segment_numbers
        # Number 0 of a LABELMAP is the background.
        if number
    }


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
