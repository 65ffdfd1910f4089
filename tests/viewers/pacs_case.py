"""A real CT with an organ whose mask is known, in a real PACS."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pydicom
import SimpleITK as sitk
from pydicom.uid import generate_uid

from sixpoint._typing import Array
from sixpoint.geometry import Geometry
from sixpoint.volume import Volume
from tests.support.data import shared
from tests.support.orthanc import Orthanc, StoredSeries, running_orthanc, store_files

__all__ = ["PacsCase", "dice", "pacs_case"]

_SPLEEN = 1


@dataclass(frozen=True)
class PacsCase:
    """A CT in a PACS, and the mask of an organ in it."""

    orthanc: Orthanc
    place: StoredSeries
    organ: Array
    geometry: Geometry

    def six_points(self) -> list[tuple[float, ...]]:
        """The organ's extreme points, in the patient."""
        places = np.argwhere(self.organ)
        ends = [places[places[:, axis] == end(places[:, axis])] for axis in (2, 1, 0) for end in (np.min, np.max)]
        return [self.point(end[len(end) // 2]) for end in ends]

    def point(self, voxel: Sequence[int]) -> tuple[float, ...]:
        """The place of a voxel [z, y, x] in the patient."""
        return tuple(self.geometry.index_to_point([tuple(voxel)[::-1]])[0].tolist())


@contextlib.contextmanager
def pacs_case(folder: Path) -> Iterator[PacsCase]:
    """The CT of an abdomen, with the spleen.

    Args:
        folder: Folder for its files, and for the PACS.
    """
    source = shared("dicom/ct_abdomen_series")
    place = _with_uids(source, folder / "series")
    with running_orthanc(folder / "orthanc") as orthanc:
        store_files(orthanc, folder / "series")
        yield _make_case(folder / "series", orthanc, place)


def _make_case(files: Path, orthanc: Orthanc, place: StoredSeries) -> PacsCase:
    label = shared("dicom/ct_abdomen_series_label.nii.gz")
    grid = Volume.read(files).geometry
    image = sitk.Image(*grid.size, sitk.sitkUInt8)
    image.SetOrigin(grid.origin)
    image.SetSpacing(grid.spacing)
    image.SetDirection(grid.direction)
    nearest = sitk.Resample(
        sitk.ReadImage(str(label)), image, sitk.Transform(), sitk.sitkNearestNeighbor, 0, sitk.sitkUInt8
    )
    return PacsCase(orthanc, place, sitk.GetArrayFromImage(nearest) == _SPLEEN, grid)


def _with_uids(source: Path, folder: Path) -> StoredSeries:
    """Copy a series whose UIDs are empty, with new ones."""
    folder.mkdir()
    place, frame = StoredSeries(generate_uid(), generate_uid()), generate_uid()
    for number, path in enumerate(sorted(source.iterdir())):
        header = pydicom.dcmread(path)
        header.StudyInstanceUID, header.SeriesInstanceUID = place.study, place.series
        header.FrameOfReferenceUID, header.SOPInstanceUID = frame, generate_uid()
        header.SOPClassUID = header.SOPClassUID or "1.2.840.10008.5.1.4.1.1.2"
        header.file_meta.MediaStorageSOPInstanceUID = header.SOPInstanceUID
        header.PatientName, header.PatientID, header.StudyDate = "Test^Sixpoint", "sixpoint-test", "20260101"
        header.save_as(folder / f"{number:03}.dcm")
    return place


def dice(a: Array, b: Array) -> float:
    """How well two masks agree."""
    return float(2 * (a & b).sum() / (a.sum() + b.sum()))
