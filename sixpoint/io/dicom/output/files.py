"""Write objects of an image as a DICOM file."""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO
from pathlib import Path

from sixpoint.errors import VolumeError
from sixpoint.io.atomic_files import write_file
from sixpoint.io.dicom.guard import reading
from sixpoint.io.dicom.output.segmentations import make_segmentation
from sixpoint.io.dicom.output.source import SourceImage
from sixpoint.io.dicom.output.structure_sets import make_structure_set
from sixpoint.masks.objects import LabelledObject

__all__ = ["write_objects"]


def write_objects(
    objects: Sequence[LabelledObject], source: SourceImage, path: Path, *, kind: str, creator: str = ""
) -> None:
    """Write objects to a DICOM file; an old file stays until the new one is complete.

    Args:
        objects: Objects that have voxels, by number.
        source: Image that they belong to.
        path: File to write.
        kind: "seg" (BINARY), "labelmap" (LABELMAP) or "rtstruct".
        creator: Name of the person who made it; empty to say nobody.

    Raises:
        InvalidArgument: This kind of file cannot hold the objects.
        VolumeError: The file cannot be written, or the image's headers contradict DICOM.
    """
    with reading(f"cannot write {path}: the image's headers, or a name, hold what DICOM does not allow in a mask's"):
        made = (
            make_structure_set(objects, source, creator=creator)
            if kind == "rtstruct"
            else make_segmentation(objects, source, labelmap=kind == "labelmap", creator=creator)
        )
        content = BytesIO()
        made.save_as(content, enforce_file_format=True)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # To the target of a link.
        write_file(path.resolve(), content.getvalue())
    except OSError as error:
        raise VolumeError(f"cannot write {path}: {error.strerror}") from error
