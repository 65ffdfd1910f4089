"""Save masks as DICOM: which files to save so, which image they belong to, and the writing itself."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from sixpoint._typing import Array
from sixpoint.errors import InvalidArgument, VolumeError
from sixpoint.errors.shortening import quoted
from sixpoint.geometry import Geometry
from sixpoint.io import is_dicom
from sixpoint.io.dicomweb import is_dicomweb
from sixpoint.io.label_names import label_extents
from sixpoint.io.output_files import check_not_inputs
from sixpoint.masks.labels import whole_labels
from sixpoint.masks.objects import LabelledObject
from sixpoint.volume import image_digest

__all__ = [
    "DICOM_SUFFIX",
    "DicomKind",
    "DicomTarget",
    "check_source",
    "dicom_target",
    "is_dicom_name",
    "label_objects",
    "save_dicom",
]

DicomKind = Literal["seg", "labelmap", "rtstruct"]
"""A DICOM SEG (BINARY, whose objects may overlap), a DICOM SEG that is a label map (LABELMAP), or contours."""

DICOM_SUFFIX = ".dcm"
"""Suffix of the files that are written as DICOM."""

_OPTIONS = "dicom, source and creator (--dicom, --source, --creator)"


@dataclass(frozen=True)
class DicomTarget:
    """A DICOM file to write.

    Attributes:
        path: File to write.
        kind: Kind of the file.
        source: Folder or file with the DICOM image that the masks belong to, or its address on a DICOMweb server.
        series_uid: UID of the image's series in that folder; None to find the series by its voxels.
        creator: Name of the person who made the masks; empty to say nobody.
    """

    path: Path
    kind: DicomKind
    source: Path | str
    series_uid: str | None
    creator: str


def is_dicom_name(path: str | os.PathLike[str]) -> bool:
    """Whether a file's name says that it is to be written as DICOM."""
    return Path(path).name.lower().endswith(DICOM_SUFFIX)


def dicom_target(
    path: str | os.PathLike[str],
    geometry: Geometry | None,
    *,
    kind: str | None = None,
    source: str | os.PathLike[str] | None = None,
    creator: str = "",
) -> DicomTarget | None:
    """Return the DICOM file that a path asks for; None for the name of another format.

    Args:
        path: File to write.
        geometry: Geometry of the image, which knows the DICOM files that it was read from; None if it is not read yet.
        kind: A :data:`DicomKind`; None for a BINARY segmentation.
        source: Folder or file with the DICOM image, or its address on a DICOMweb server; None for that which the
            geometry was read from.
        creator: Name of the person who made the masks; empty to say nobody.

    Raises:
        InvalidArgument: The path is no name of a DICOM file, and something is said about one; the kind is unknown; no
            DICOM image is known; or the file is one of the image's.
    """
    target = Path(path)
    if not is_dicom_name(target):
        if kind or source or creator:
            raise InvalidArgument(
                f"{target} is not written as DICOM, so {_OPTIONS} mean nothing; name a {DICOM_SUFFIX} file"
            )
        return None
    kinds = get_args(DicomKind)
    if kind is not None and kind not in kinds:
        raise InvalidArgument(f"unknown kind of DICOM file {quoted(kind)}; expected one of {', '.join(kinds)}")
    origin = geometry.dicom if geometry else None
    if source is None and origin is None:
        raise InvalidArgument(
            f"cannot write {target}: a DICOM mask belongs to a DICOM image, and this image was not read from one; name "
            "the folder of its DICOM files (--source FOLDER, source=FOLDER), or write .nii.gz, .nrrd or .mha"
        )
    folder = source if source is not None else (origin.address or origin.path) if origin else ""
    if is_dicomweb(folder):
        return DicomTarget(target, kind or "seg", os.fspath(folder), None, creator)  # type: ignore[arg-type]  # see above
    folder = Path(folder)
    if not is_dicom(folder):
        raise InvalidArgument(
            f"cannot write {target}: the source {folder} is no DICOM file or folder; name the DICOM files of the image "
            "(--source FOLDER, source=FOLDER)"
        )
    check_not_inputs((target,), (folder,))
    series_uid = origin.series_uid if source is None and origin else None
    return DicomTarget(target, kind or "seg", folder, series_uid, creator)  # type: ignore[arg-type]  # it is one of them


def check_source(target: DicomTarget, geometry: Geometry) -> None:
    """Refuse a DICOM image to which no mask can refer, before somebody outlines an object in it.

    Args:
        target: File to write later.
        geometry: Geometry of the image.

    Raises:
        VolumeError: The DICOM image is another one, or cannot be referred to.
    """
    from sixpoint.io.dicom.output import find_source

    # Of a server, all slices would have to be sent once more.
    if isinstance(target.source, Path):
        with _files(target.source) as folder:
            find_source(folder, geometry, None, series_uid=target.series_uid)


def save_dicom(objects: Iterable[LabelledObject], geometry: Geometry, target: DicomTarget, *, digest: str) -> None:
    """Write objects to a DICOM file that refers to their image.

    Args:
        objects: Objects by number; those without voxels are left out.
        geometry: Geometry of their image.
        target: File to write.
        digest: Digest of their image; empty if only its geometry is known.

    Raises:
        InvalidArgument: There is nothing to write, or this kind of file cannot hold it.
        VolumeError: The DICOM image is another one, or cannot be referred to; or the file cannot be written.
    """
    # Here, since pydicom and highdicom take longer to import than most commands to run.
    from sixpoint.io.dicom.output import find_source, write_objects

    given = [item for item in objects if item.voxels.any()]
    if not given:
        raise InvalidArgument(f"cannot write {target.path}: no object has a voxel, so there is nothing to write")
    with _files(target.source) as folder:
        image = find_source(
            folder,
            geometry,
            lambda grid, voxels: not digest or image_digest(grid, voxels) == digest,
            series_uid=target.series_uid,
        )
    try:
        write_objects(given, image, target.path, kind=target.kind, creator=target.creator)
    except VolumeError:
        raise
    except InvalidArgument as error:
        raise InvalidArgument(f"cannot write {target.path}: {error.message}") from error


@contextmanager
def _files(source: Path | str) -> Iterator[Path]:
    """The folder or file of a source; of a series on a server, while the block runs."""
    if isinstance(source, Path):
        from sixpoint.io.dicom.zips import dicom_folder

        with dicom_folder(source) as folder:
            yield folder
        return
    from sixpoint.io.dicomweb.reading import downloaded

    with downloaded(source) as folder:
        yield folder


def label_objects(
    labels: Array, names: Mapping[int, str], *, model: str = "", model_version: str = "", automatic: bool = False
) -> Iterator[LabelledObject]:
    """Yield the objects of a label map [z, y, x] by number.

    Args:
        labels: Label map, 0 for background.
        names: Names by number, as far as labels have some.
        model: Name of the model that made the labels.
        model_version: Version of that model.
        automatic: Whether the model needed no prompts.

    Raises:
        InvalidArgument: The numbers are no labels.
    """
    try:
        whole = whole_labels(labels)
    except ValueError as error:
        raise InvalidArgument(f"the mask {error}") from error
    for number, (x0, x1, y0, y1, z0, z1) in label_extents(whole).items():
        if number:
            voxels = whole[z0 : z1 + 1, y0 : y1 + 1, x0 : x1 + 1] == number
            name = names.get(number, "")
            yield LabelledObject(number, name, voxels, (x0, y0, z0), model, model_version, automatic=automatic)
