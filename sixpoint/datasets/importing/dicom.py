"""Folders with DICOM series, each with a DICOM SEG beside it; and the series of a study on a DICOMweb server."""

from __future__ import annotations

from pathlib import Path

from sixpoint.datasets.importing.source import Source, SourceCase, SourceLayout, visible
from sixpoint.errors import DatasetError, VolumeError
from sixpoint.io.dicomweb import DicomwebAddress

__all__ = ["has_dicom", "read_dicom_folders", "read_study"]


def has_dicom(folder: Path) -> bool:
    """Whether a folder, or a folder in it, holds a DICOM file."""
    from sixpoint.io.dicom.headers import is_dicom_file

    for path in visible(folder):
        for file in visible(path) if path.is_dir() else [path]:
            if file.is_file() and is_dicom_file(file):
                return True
    return False


def read_dicom_folders(folder: Path) -> Source:
    """List the series of a folder: one case for each folder with a series, which may have a folder for its DICOM SEG.

    Raises:
        DatasetError: A folder cannot be read.
    """
    places = [folder] if _holds_image(folder) else [path for path in visible(folder) if path.is_dir()]
    cases, left_out = [], {}
    for place in places:
        name = place.resolve().name
        try:
            case = _case(name, place)
        except VolumeError as error:
            left_out[name] = error.message
            continue
        if isinstance(case, str):
            left_out[name] = case
        else:
            cases.append(case)
    if places != [folder]:
        left_out |= {path.name: "it is no folder with a DICOM series" for path in visible(folder) if path.is_file()}
    return Source(SourceLayout.DICOM, tuple(cases), left_out=left_out)


def read_study(address: str) -> Source:
    """List the images of a study on a DICOMweb server.

    Raises:
        DatasetError: The address names no study.
        SixpointError: The server cannot be asked.
    """
    from sixpoint.io.dicomweb.connection import connect

    parsed = DicomwebAddress.parse(address)
    if not parsed.study:
        raise DatasetError("the address names no study; expected dicomweb:URL#STUDY, with the UID of the study")
    with connect(parsed.url) as server:
        entries = server.series(parsed.study)
    cases, left_out = [], {}
    for number, entry in enumerate(entries, 1):
        title = f"series {number} ({entry.describe()})"
        if parsed.series and entry.uid != parsed.series:
            continue
        if entry.is_image:
            cases.append(SourceCase("", f"dicomweb:{parsed.url}#{parsed.study}/{entry.uid}", title=title))
        else:
            left_out[title] = "it is no image; save masks from a server to files first"
    if parsed.series and not (cases or left_out):
        raise DatasetError("the study has no such series; check its UID")
    return Source(SourceLayout.DICOMWEB, tuple(cases), left_out=left_out)


def _holds_image(folder: Path) -> bool:
    from sixpoint.io.dicom.headers import find_series

    try:
        return any(not series.is_segmentation for series in find_series(folder))
    except VolumeError:
        return False


def _case(name: str, place: Path) -> SourceCase | str:
    """The case of a folder, or why there is none."""
    from sixpoint.io.dicom.headers import find_series

    folders = [place, *(path for path in visible(place) if path.is_dir())]
    found = [(folder, series) for folder in folders for series in find_series(folder)]
    images = [folder for folder, series in found if not series.is_segmentation]
    masks = [file.path for _, series in found for file in series.files if file.is_segmentation]
    if len(images) != 1:
        count = f"{len(images)} DICOM series" if images else "no DICOM series"
        return f"it holds {count}; expected one for each case, in a folder of its own"
    if len(masks) > 1:
        return f"it holds {len(masks)} DICOM segmentations; expected one for each series"
    return SourceCase(name, images[0], labels=masks[0] if masks else None)
