"""Contours from RTSTRUCT: the closed contours of one ROI, in patient space."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from pydicom.dataset import Dataset

from sixpoint._typing import Points
from sixpoint.errors import VolumeError
from sixpoint.io.dicom.frames import whole
from sixpoint.io.dicom.guard import reading
from sixpoint.io.dicom.headers import is_dicom_file
from sixpoint.masks.contours import Contours

__all__ = ["find_structure_set", "read_contours"]

_RT_STRUCTURE_SET = "1.2.840.10008.5.1.4.1.1.481.3"
# Contours with an area; the others are points and lines.
_CLOSED = ("CLOSED_PLANAR", "CLOSEDPLANAR_XOR")


def find_structure_set(source: Path) -> Path | None:
    """The RTSTRUCT file at a path; None when there is none.

    Args:
        source: DICOM file, or folder.

    Raises:
        VolumeError: When the folder holds several, or a file cannot be opened.
    """
    try:
        paths = [source] if source.is_file() else sorted(path for path in source.iterdir() if path.is_file())
        files = [path for path in paths if is_dicom_file(path) and _is_structure_set(path)]
    except OSError as error:
        raise VolumeError(f"{source} cannot be read: {error.strerror}") from error
    if len(files) > 1:
        raise VolumeError(f"{source} holds {len(files)} RTSTRUCT files; give one file")
    return files[0] if files else None


def _is_structure_set(path: Path) -> bool:
    try:
        with reading("it is damaged"):
            header = pydicom.dcmread(path, force=True, stop_before_pixels=True, specific_tags=["SOPClassUID"])
            return str(header.get("SOPClassUID") or "") == _RT_STRUCTURE_SET
    except VolumeError:
        # Whoever reads the image or the segmentation in it says so.
        return False


def read_contours(path: Path, source: Path, roi: int | str | None = None) -> Contours:
    """Read the closed contours of one ROI.

    Args:
        path: File that :func:`find_structure_set` gives.
        source: Path that the user typed, for error messages.
        roi: Number or name of the ROI; None for the only one.

    Raises:
        VolumeError: When the file is damaged; when the ROI does not exist, has no closed contour, or has to be chosen.
    """
    with reading(f"{source} cannot be read as RTSTRUCT: it is damaged; copy it anew from its source"):
        tags = ["SpecificCharacterSet", "StructureSetROISequence", "ROIContourSequence"]
        header = pydicom.dcmread(path, force=True, specific_tags=[*tags])
        names = {int(item.ROINumber): str(item.get("ROIName") or "") for item in header.StructureSetROISequence}
        number = _choose(names, source, roi)
        items = [
            item for item in header.get("ROIContourSequence") or () if whole(item, "ReferencedROINumber") == number
        ]
        contours = [contour for item in items for contour in item.get("ContourSequence") or ()]
        rings = tuple(_points(contour) for contour in contours if contour.get("ContourGeometricType") in _CLOSED)
    if not rings:
        raise VolumeError(f"{source} has no closed contour of ROI {number}, so there is no object in it")
    return Contours(rings)


def _choose(names: Mapping[int, str], source: Path, roi: int | str | None) -> int:
    if isinstance(roi, str):
        chosen = [number for number, name in names.items() if roi.casefold() == name.casefold()]
    else:
        chosen = [number for number in names if roi in (None, number)]
    if len(chosen) == 1:
        return chosen[0]
    listed = ", ".join(f"{number} ({name})" for number, name in names.items()) or "none"
    if chosen:
        raise VolumeError(f"{source} has {len(chosen)} such ROIs: {listed}; choose one by number: FILE:NUMBER")
    raise VolumeError(f"{source} has no ROI {roi!r}; it has {listed}")


def _points(contour: Dataset) -> Points:
    """Points (LPS, mm) of a contour, shape [n, 3]."""
    element: Any = contour.get_item("ContourData")
    # As it is in the file: pydicom would make an object of every number.
    values = element.value.decode("ascii").split("\\") if isinstance(element.value, bytes) else element.value
    points: Points = np.array(values, np.float64).reshape(-1, 3)
    if not np.isfinite(points).all():
        raise ValueError
    return points
