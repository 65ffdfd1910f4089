"""Read an image from a DICOMweb server: its files go to a private folder, which the reader of DICOM reads."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from sixpoint._typing import Vector
from sixpoint.errors import VolumeError
from sixpoint.io.dicom import DicomImage, read_dicom
from sixpoint.io.dicomweb.address import DicomwebAddress
from sixpoint.io.dicomweb.connection import connect

if TYPE_CHECKING:
    from sixpoint.io.dicomweb.server import SeriesEntry

__all__ = ["downloaded", "read_dicomweb"]

_NAME = "the DICOMweb series"


def read_dicomweb(
    source: str | os.PathLike[str],
    *,
    spacing: Vector | None = None,
    series: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> DicomImage:
    """Read an image from a DICOMweb server.

    Args:
        source: ``dicomweb:URL#STUDY/SERIES``; without ``/SERIES`` if the study has one image, or with ``series``.
        spacing: Spacing (x, y, z) in mm, where the header lacks it.
        series: Number of the series in the list that the error about several series prints, from 1.
        progress: Function called with the number of files so far, and of all; of all 0 if the server does not say it.

    Raises:
        InvalidArgument: The address is none.
        VolumeError: The study has several series and none is chosen, or the image cannot be trusted.
        NotFound: The server has no such study or series.
        SixpointError: The server cannot be asked.
    """
    with downloaded(source, series=series, progress=progress) as folder:
        image = read_dicom(folder, spacing=spacing)
    notes = tuple(note.replace(str(folder), _NAME) for note in image.notes)
    address, origin = DicomwebAddress.parse(source), image.geometry.dicom
    if origin:
        again = f"dicomweb:{address.url}#{address.study}/{origin.series_uid}"
        image = replace(image, geometry=replace(image.geometry, dicom=replace(origin, address=again)))
    return replace(image, notes=notes)


@contextmanager
def downloaded(
    source: str | os.PathLike[str], *, series: int | None = None, progress: Callable[[int, int], None] | None = None
) -> Iterator[Path]:
    """Download a series; yields a private folder with its files, which is removed at the end.

    Errors of the block name the series instead of the folder.

    Args:
        source: ``dicomweb:URL#STUDY/SERIES``, or ``dicomweb:URL#STUDY``.
        series: Number of the series, for an address without one.
        progress: Function called with the number of files so far, and of all; of all 0 if the server does not say it.

    Raises:
        SixpointError: As :func:`read_dicomweb` says.
    """
    address = DicomwebAddress.parse(source)
    if not address.study:
        raise VolumeError("the address names no study; expected dicomweb:URL#STUDY/SERIES, with the UIDs of both")
    with tempfile.TemporaryDirectory(prefix="sixpoint-") as text:
        folder = Path(text)
        try:
            with connect(address.url) as server:
                chosen = _choose(server.series(address.study), address.series, series)
                total = chosen.instances or 0
                on_file = (lambda count, _: progress(count, total)) if progress else None
                server.download(address.study, chosen.uid, folder, on_file=on_file)
            yield folder
        except VolumeError as error:
            raise VolumeError(error.message.replace(text, _NAME)) from error
        except OSError as error:
            raise VolumeError(f"{_NAME} cannot be written to the temporary folder: {error.strerror}") from error


def _choose(entries: list[SeriesEntry], uid: str, number: int | None) -> SeriesEntry:
    if uid:
        if number is not None:
            raise VolumeError("the address names a series already; leave --series (series=) out")
        for entry in entries:
            if entry.uid == uid:
                return entry
        raise VolumeError(f"the study has no such series; it has {_listed(entries)}")
    images = [entry for entry in entries if entry.is_image]
    if not images:
        raise VolumeError(f"the study has no images; it has {_listed(entries)}")
    if number is not None and not 1 <= number <= len(images):
        raise VolumeError(f"the study has no series {number}; it has {_listed(images)}")
    if number is None and len(images) > 1:
        raise VolumeError(
            f"the study has {len(images)} series; choose one with --series N (series=N), or by its UID behind the "
            f"study's (#STUDY/SERIES): {_listed(images)}"
        )
    return images[(number or 1) - 1]


def _listed(entries: list[SeriesEntry]) -> str:
    return "; ".join(f"{number}: {entry.describe()}" for number, entry in enumerate(entries, start=1))
