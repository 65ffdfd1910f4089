"""Write masks and label maps to files, with the names of their labels."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from sixpoint._typing import Array
from sixpoint.errors import InvalidArgument
from sixpoint.geometry import Geometry
from sixpoint.io.label_names import (
    check_names_file,
    check_no_names_beside,
    is_slicer_segmentation,
    names_file,
    slicer_fields,
    write_label_names,
)
from sixpoint.mask_files.dicom import DICOM_SUFFIX, is_dicom_name
from sixpoint.volume import check_suffix, write_image

__all__ = ["check_labels_file", "write_labels"]


def check_labels_file(path: str | os.PathLike[str], *, with_names: bool) -> Path | None:
    """Refuse a file that :func:`write_labels` would refuse, and return the JSON file that it would write beside it.

    Raises:
        VolumeError: The suffix is unknown; the JSON file is there and holds something else than names; or it holds
            names, and none are to be written.
    """
    target = Path(path)
    if is_dicom_name(target):
        return None
    check_suffix(target, DICOM_SUFFIX)
    if is_slicer_segmentation(target):
        return None
    if not with_names:
        check_no_names_beside(target)
        return None
    check_names_file(names_file(target))
    return names_file(target)


def write_labels(
    labels: Array,
    geometry: Geometry,
    path: str | os.PathLike[str],
    *,
    names: Mapping[int, str],
    with_names: bool,
) -> None:
    """Write a mask or label map [z, y, x]; a .seg.nrrd file has the names of its labels in 3D Slicer's fields.

    Args:
        labels: Label map, 0 for background.
        geometry: Geometry of the labels.
        path: File to write; its suffix selects NIfTI, NRRD or MetaImage.
        names: Names by number, as far as labels have some.
        with_names: Whether the names of other files than .seg.nrrd are written, too: to a JSON file beside.

    Raises:
        InvalidArgument: Names are to be written, and no label has one.
        VolumeError: The suffix is unknown, or a file cannot be written.
    """
    target = Path(path)
    named = {number: name for number, name in names.items() if name}
    beside = check_labels_file(target, with_names=with_names)
    if with_names and not named:
        raise InvalidArgument("no label has a name, so there are no names to write; name one, or leave the names out")
    fields = slicer_fields(labels, named) if is_slicer_segmentation(target) else {}
    write_image(labels, geometry, target, fields=fields)
    if beside:
        write_label_names(named, beside)
