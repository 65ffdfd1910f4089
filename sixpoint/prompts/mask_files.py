"""Masks from files: one object of a mask, a label map, a probability map, a DICOM SEG or an RTSTRUCT."""

from __future__ import annotations

from pathlib import Path

from sixpoint._typing import Bools
from sixpoint.errors import VolumeError
from sixpoint.errors.shortening import quoted, shorten
from sixpoint.geometry import Geometry
from sixpoint.io import is_dicom
from sixpoint.io.label_names import read_label_names
from sixpoint.masks.contours import Contours
from sixpoint.masks.labels import FractionalLabels, SeveralLabels, object_of
from sixpoint.volume import Volume

__all__ = ["parse_mask_source", "read_mask", "read_mask_or_contours"]


def parse_mask_source(text: str) -> tuple[Path, int | str | None]:
    """Read ``FILE`` or ``FILE:LABEL``; a name may contain colons.

    Returns:
        The file or folder; and the label's number, its name, or None.
    """
    if Path(text).exists():
        return Path(text), None
    parts = text.split(":")
    for count in range(len(parts) - 1, 0, -1):
        name, label = ":".join(parts[:count]), ":".join(parts[count:])
        # A file that is missing is named without its label.
        if Path(name).exists() or (label.isdecimal() and name):
            return Path(name), int(label) if label.isdecimal() else label or None
    return Path(text), None


def read_mask(
    source: Path, *, label: int | str | None = None, threshold: float | None = None
) -> tuple[Bools, Geometry]:
    """Read the voxels [z, y, x] of one object, and their geometry.

    Args:
        source: NIfTI, NRRD or MetaImage file; or a DICOM SEG, or a folder with one.
        label: Number or name of the label, or of the segment of a DICOM SEG; None for the only one.
        threshold: Smallest probability of the object's voxels, above 0 and at most 1, where the file holds
            probabilities.

    Raises:
        InvalidArgument: The threshold is out of range.
        VolumeError: The file cannot be read, holds no voxels, or several objects of which none is chosen.
    """
    read = read_mask_or_contours(source, label=label, threshold=threshold)
    if isinstance(read, Contours):
        raise VolumeError(
            f"{source} holds contours, which have no voxels of their own; expected a label map or a DICOM SEG"
        )
    return read


def read_mask_or_contours(
    source: Path, *, label: int | str | None = None, threshold: float | None = None
) -> tuple[Bools, Geometry] | Contours:
    """Read the voxels [z, y, x] of one object, and their geometry; or its contours, which have no grid of their own.

    Args:
        source: NIfTI, NRRD or MetaImage file; or a DICOM SEG or RTSTRUCT, or a folder with one.
        label: Number or name of the label, of the segment of a DICOM SEG, or of the ROI of an RTSTRUCT; None for the
            only one.
        threshold: Smallest probability of the object's voxels, above 0 and at most 1, where the file holds
            probabilities.

    Raises:
        InvalidArgument: The threshold is out of range.
        VolumeError: The file cannot be read, holds no mask, or several objects of which none is chosen.
    """
    try:
        if is_dicom(source):
            # Here, since highdicom takes longer to import than most commands to run.
            from sixpoint.io.dicom.segmentations import find_segmentation, read_segment
            from sixpoint.io.dicom.structure_sets import find_structure_set, read_contours
            from sixpoint.io.dicom.zips import dicom_folder

            with dicom_folder(source) as folder:
                path, contours = find_segmentation(folder), find_structure_set(folder)
                if path and contours:
                    raise VolumeError(f"{source} holds a DICOM segmentation and an RTSTRUCT; give one file")
                if path:
                    return read_segment(path, source, label, threshold=threshold)
                if contours and threshold is not None:
                    raise VolumeError(f"{source} holds contours, which have no probabilities; leave the threshold out")
                if contours:
                    return read_contours(contours, source, label)
        volume = Volume.read(source)
        number = _number_of(label, source) if isinstance(label, str) else label
        inside = object_of(volume.array, number, threshold=threshold)
    except FractionalLabels as error:
        raise VolumeError(f"{source} {error}, or give the threshold (--threshold; threshold=... in Python)") from error
    except SeveralLabels as error:
        raise VolumeError(f"{source} {error}: {source}:LABEL (label=... in Python)") from error
    except ValueError as error:
        raise VolumeError(f"{source} {error}") from error
    if not inside.any():
        least = "above 0" if threshold is None else f"from {threshold:g} on"
        raise VolumeError(f"{source} has no voxel {least}, so there is no object in it")
    return inside, volume.geometry


def _number_of(name: str, source: Path) -> int:
    """The number of a label that is given by its name."""
    names = read_label_names(source)
    numbers = [number for number, other in names.items() if other.casefold() == name.casefold()]
    if len(numbers) == 1:
        return numbers[0]
    if not names:
        raise VolumeError(f"{source} names no labels, so there is no {quoted(name)}; give the label's number")
    listed = ", ".join(f"{number} ({shorten(other)})" for number, other in sorted(names.items()))
    if numbers:
        raise VolumeError(f"{source} has {len(numbers)} labels named {quoted(name)}: {listed}; give the label's number")
    raise VolumeError(f"{source} has no label {quoted(name)}; it has {listed}")
