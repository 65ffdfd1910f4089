"""The layout of DICOM SEG: for each case a folder with an object that refers to the series of the image."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import TYPE_CHECKING, Self

from sixpoint.client import AnnotationInfo, DatasetImage
from sixpoint.errors import DatasetError, InvalidArgument, VolumeError
from sixpoint.io.dicomweb import is_dicomweb
from sixpoint.mask import voxels_of
from sixpoint.masks.objects import LabelledObject
from sixpoint.segmentation import Segmentation
from sixpoint.volume import image_digest

if TYPE_CHECKING:
    from sixpoint.io.dicom.headers import Series

__all__ = ["DicomSources", "segmentation_path", "write_segmentation"]


@dataclass(frozen=True)
class _Place:
    """Where the series of an image lies.

    Attributes:
        folder: Folder with its files.
        series_uid: UID of the series.
    """

    folder: Path
    series_uid: str


def segmentation_path(case: str) -> PurePosixPath:
    """Return where the SEG of a case lies, from the folder of the export."""
    return PurePosixPath(case, "seg.dcm")


class DicomSources:
    """The DICOM series of a dataset's images, found by their voxels. Downloaded ones are removed when the block ends.

    Args:
        sources: Folders, with their sub-folders, and addresses ``dicomweb:URL#STUDY`` or ``dicomweb:URL#STUDY/SERIES``.
        images: Images of the dataset.

    Raises:
        DatasetError: There is no source, or one is no folder.
        SixpointError: A server cannot be asked.
    """

    def __init__(self, sources: Sequence[str | os.PathLike[str]], images: Sequence[DatasetImage]) -> None:
        if not sources:
            raise DatasetError(
                "a DICOM SEG refers to the series that its image came from, which the gateway does not keep; name the "
                "folders with the series, or dicomweb:URL#STUDY (--source)"
            )
        self._geometries = {image.digest: image.geometry for image in images if image.geometry}
        self._places: dict[str, _Place] = {}
        self._stack = ExitStack()
        self._sources = [os.fspath(source) for source in sources]

    def __enter__(self) -> Self:
        try:
            for source in self._sources:
                if is_dicomweb(source):
                    self._add_study(source)
                else:
                    self._add_folders(Path(source))
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stack.close()

    def find(self, digest: str) -> _Place | None:
        """Where the series of an image lies; None if no source has it."""
        return self._places.get(digest)

    def _add_study(self, address: str) -> None:
        from sixpoint.datasets.importing.dicom import read_study
        from sixpoint.io.dicomweb.reading import downloaded

        for case in read_study(address).cases:
            with ExitStack() as stack:
                folder = stack.enter_context(downloaded(case.image))
                before = len(self._places)
                self._add_series(folder)
                if len(self._places) > before:
                    # It is needed until its SEG is written.
                    self._stack.push(stack.pop_all())

    def _add_folders(self, folder: Path) -> None:
        if not folder.is_dir():
            raise DatasetError(f"{folder} is no folder; expected one with DICOM series, in it or in folders within it")
        for path in (folder, *sorted(path for path in folder.rglob("*") if path.is_dir())):
            self._add_series(path)

    def _add_series(self, folder: Path) -> None:
        """Note the series of a folder that are images of the dataset."""
        from sixpoint.io.dicom.headers import find_series

        try:
            found = [series for series in find_series(folder) if not series.is_segmentation]
        except VolumeError:
            return
        for series in found:
            if (digest := self._digest(series, folder)) is not None:
                self._places.setdefault(digest, _Place(folder, series.uid))

    def _digest(self, series: Series, folder: Path) -> str | None:
        """Digest of a series if it is an image of the dataset; voxels are read only if the geometry is one of those."""
        from sixpoint.io.dicom.output import read_matching

        for geometry in dict.fromkeys(self._geometries.values()):
            try:
                voxels = read_matching(series, folder, geometry)
            except VolumeError:
                return None
            if voxels is not None:
                digest = image_digest(geometry, voxels)
                return digest if digest in self._geometries else None
        return None


def write_segmentation(
    sources: DicomSources,
    folder: Path,
    image: DatasetImage,
    annotation: AnnotationInfo,
    masks: Segmentation,
    *,
    codes: Mapping[str, str],
) -> tuple[PurePosixPath] | str:
    """Write the masks of an annotation as a DICOM SEG (BINARY) that refers to its image's series.

    Args:
        sources: Where the series lie.
        folder: Folder of the export.
        image: Image of the dataset.
        annotation: Its annotation.
        masks: Masks of the annotation; those without voxels are left out, since a SEG cannot hold them.
        codes: SNOMED CT code of each label to write by its name; empty to look the name up.

    Returns:
        The file from the folder of the export, or why there is none.
    """
    from sixpoint.io.dicom.output import find_source, write_objects

    place = sources.find(image.digest)
    if place is None:
        return "no source has the DICOM series that its image came from, with the same voxels"
    objects = list(_objects(masks, annotation, codes))
    if not objects:
        return "its annotation says that it has no label, which a DICOM SEG cannot say"
    path = segmentation_path(image.case_name)
    try:
        # Its voxels were compared when the series was found.
        source = find_source(place.folder, masks.geometry, None, series_uid=place.series_uid)
        write_objects(objects, source, folder / path, kind="seg")
    except InvalidArgument as error:
        return error.message
    return (path,)


def _objects(masks: Segmentation, annotation: AnnotationInfo, codes: Mapping[str, str]) -> Iterator[LabelledObject]:
    for name, snomed_code in codes.items():
        packed = masks.found[name].packed
        if packed.voxel_count:
            yield LabelledObject(
                masks.found[name].number,
                name,
                voxels_of(packed),
                packed.lower,
                annotation.model,
                annotation.model_version,
                automatic=not annotation.session_id,
                snomed_code=snomed_code,
            )
