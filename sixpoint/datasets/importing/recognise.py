"""Which layout a folder has."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path

from sixpoint.datasets.importing.bids import is_bids, read_bids
from sixpoint.datasets.importing.dicom import has_dicom, read_dicom_folders, read_study
from sixpoint.datasets.importing.files import (
    is_image_name,
    read_images,
    read_json,
    read_msd,
    read_nnunet,
    read_pairs,
)
from sixpoint.datasets.importing.source import Source, SourceLayout, visible
from sixpoint.errors import DatasetError
from sixpoint.io.dicomweb import is_dicomweb

__all__ = ["read_source"]

_LABEL_WORDS = frozenset({"label", "labels", "seg", "segmentation", "mask", "masks", "gt", "labelmap"})

_READERS: Mapping[SourceLayout, Callable[[Path], Source]] = {
    SourceLayout.IMAGES: read_images,
    SourceLayout.PAIRS: read_pairs,
    SourceLayout.MSD: read_msd,
    SourceLayout.NNUNET: read_nnunet,
    SourceLayout.BIDS: read_bids,
    SourceLayout.DICOM: read_dicom_folders,
}


def read_source(source: str | os.PathLike[str], *, layout: SourceLayout | None = None) -> Source:
    """List the cases of a folder, or of a study on a DICOMweb server. No image is read.

    Args:
        source: Folder, or ``dicomweb:URL#STUDY``.
        layout: Its layout; None to recognise it.

    Raises:
        DatasetError: The folder is missing, has none of the layouts or several, has no image, or contradicts itself.
    """
    if is_dicomweb(source):
        if layout not in (None, SourceLayout.DICOMWEB):
            raise DatasetError(f"an address on a DICOMweb server has no layout {layout}; leave the layout out")
        return read_study(os.fspath(source))
    folder = Path(source)
    if not folder.is_dir():
        raise DatasetError(f"{folder} is no folder; expected one with images, or dicomweb:URL#STUDY")
    if layout is SourceLayout.DICOMWEB:
        raise DatasetError("the layout dicomweb is for addresses; expected dicomweb:URL#STUDY instead of a folder")
    chosen = layout or _recognise(folder)
    try:
        found = _READERS[chosen](folder)
    except OSError as error:
        raise DatasetError(f"{folder} cannot be read as {chosen}: {error.strerror}") from error
    if not found.cases:
        reasons = "; ".join(f"{name}: {reason}" for name, reason in list(found.left_out.items())[:5])
        raise DatasetError(f"{folder}, read as {chosen}, has no image to import" + (f" ({reasons})" if reasons else ""))
    names = [case.name for case in found.cases]
    if twice := sorted({name for name in names if names.count(name) > 1 and name}):
        raise DatasetError(f"{folder} has several images of the name {twice[0]!r}; rename one")
    return found


def _recognise(folder: Path) -> SourceLayout:
    layouts = []
    if (folder / "dataset.json").is_file():
        data = read_json(folder / "dataset.json")
        layouts.append(SourceLayout.MSD if "training" in data else SourceLayout.NNUNET)
    if is_bids(folder):
        layouts.append(SourceLayout.BIDS)
    if (folder / "images").is_dir() and (folder / "labels").is_dir():
        layouts.append(SourceLayout.PAIRS)
    if not layouts:
        images = [path for path in visible(folder) if is_image_name(path)]
        if images:
            _check_names(images)
            layouts.append(SourceLayout.IMAGES)
        if has_dicom(folder):
            layouts.append(SourceLayout.DICOM)
    if len(layouts) == 1:
        return layouts[0]
    if layouts:
        raise DatasetError(f"{folder} may be read as {' or '.join(layouts)}; say which one (--layout, layout=)")
    raise DatasetError(
        f"{folder} has no layout that is known; expected image files, the folders images and labels, dataset.json "
        "(Decathlon, nnU-Net), dataset_description.json (BIDS), or folders with DICOM series"
    )


def _check_names(images: list[Path]) -> None:
    """Refuse to take label maps for images.

    Raises:
        DatasetError: A file is called as label maps are.
    """
    for path in images:
        if _LABEL_WORDS & set(re.split(r"[^a-z]+", path.name.lower())):
            raise DatasetError(
                f"{path.name} is called as a label map would be, and nothing says what it belongs to; put images in a "
                "folder images and label maps of the same names in a folder labels beside it, or say that all are "
                "images (--layout images, layout=)"
            )
