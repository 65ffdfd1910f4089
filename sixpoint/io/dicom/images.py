"""Images from DICOM: a folder with a series of slices, or a file with many frames."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from pathlib import Path

from sixpoint._typing import Array, Vector
from sixpoint.errors import VolumeError
from sixpoint.geometry import Geometry
from sixpoint.io.dicom.file_frames import frames_of
from sixpoint.io.dicom.headers import Series, find_series
from sixpoint.io.dicom.pixels import read_voxels
from sixpoint.io.dicom.stack import stack_frames
from sixpoint.io.dicom.zips import dicom_folder
from sixpoint.io.notes import NO_PLACE

__all__ = ["DicomImage", "DicomOrigin", "read_dicom"]


@dataclass(frozen=True)
class DicomOrigin:
    """The DICOM files that an image was read from, to which a mask of it refers when it is saved as DICOM.

    Attributes:
        path: Folder or file; no longer there if they came from a server.
        series_uid: UID of the series; empty where the files have none.
        address: Address of the series on a DICOMweb server, if they came from one.
    """

    path: Path
    series_uid: str = field(repr=False)
    address: str = field(default="", repr=False)


@dataclass(frozen=True, eq=False)
class DicomImage:
    """An image from DICOM.

    Attributes:
        array: Voxels [z, y, x] as the rescale slopes and intercepts say, sorted along the normal.
        geometry: Positions of the voxels in the patient.
        notes: What a person should know about the image, one sentence each.
        inverted_display: Whether viewers show large values dark (MONOCHROME1).
        modality: Modality as the header says it, in DICOM's terms; empty if it does not.
    """

    array: Array
    geometry: Geometry
    notes: tuple[str, ...]
    inverted_display: bool
    modality: str


def read_dicom(source: Path, *, spacing: Vector | None = None, series: int | None = None) -> DicomImage:
    """Read an image from a folder with DICOM files, or from one file of many frames.

    Args:
        source: Folder, without its sub-folders, file, or zip of files in any folders.
        spacing: Spacing (x, y, z) in mm, where the header lacks it.
        series: Number of the series in the list that the error about several series prints, from 1.

    Raises:
        VolumeError: When there is no image or there are several, or a header or pixels cannot be trusted.
    """
    with dicom_folder(source) as folder:
        return _read(folder, source, spacing=spacing, series=series)


def _read(folder: Path, source: Path, *, spacing: Vector | None, series: int | None) -> DicomImage:
    """Read an image from a folder or file.

    Args:
        folder: Folder or file that is read.
        source: Path that the user typed, for error messages.
        spacing: Spacing (x, y, z) in mm, where the header lacks it.
        series: Number of the series in the folder.
    """
    chosen = _choose(find_series(folder), source, series)
    frames = [frame for file in chosen.files for frame in frames_of(file, source)]
    ordered, geometry = stack_frames(frames, source, spacing=spacing)
    notes: tuple[str, ...] = ()
    if ordered[0].position is None:
        notes += (f"{source}: its slices have no position in the patient (ImagePositionPatient): {NO_PLACE}",)
    inverted = {frame.pixels.inverted_display for frame in ordered}
    if len(inverted) > 1:
        notes += (f"{source}: some slices are MONOCHROME1, others MONOCHROME2; pictures show all as MONOCHROME2",)
    voxels = read_voxels(ordered, source)
    geometry = replace(geometry, dicom=DicomOrigin(source.absolute(), chosen.uid))
    return DicomImage(voxels, geometry, notes, inverted_display=inverted == {True}, modality=_modality(chosen))


def _modality(series: Series) -> str:
    """The modality in DICOM's terms; empty where the header says none, or something else."""
    text = str(series.files[0].header.get("Modality") or "").strip()
    return text if re.fullmatch("[A-Z]{2,16}", text) else ""


def _choose(all_series: list[Series], source: Path, number: int | None) -> Series:
    images = [series for series in all_series if not series.is_segmentation]
    if not images:
        if all_series:
            raise VolumeError(f"{source} holds a DICOM segmentation, not an image; give it as --mask")
        raise VolumeError(
            f"{source} holds no DICOM image: expected a series of slices or a file of many frames; contours "
            "(RTSTRUCT) are read as --mask, and reports are not"
        )
    if number is not None and not 1 <= number <= len(images):
        raise VolumeError(f"{source} has no series {number}; it holds {_listed(images)}")
    if number is None and len(images) > 1:
        raise VolumeError(
            f"{source} holds {len(images)} DICOM series; choose one with --series N (series=N), or put it into a "
            f"folder of its own: {_listed(images)}"
        )
    return images[(number or 1) - 1]


def _listed(images: list[Series]) -> str:
    return "; ".join(f"{number}: {series.describe()}" for number, series in enumerate(images, start=1))
