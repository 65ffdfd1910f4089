"""Small DICOM files made for tests; nobody's data are in them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.uid import (
    UID,
    CTImageStorage,
    EnhancedCTImageStorage,
    EnhancedMRImageStorage,
    EnhancedPETImageStorage,
    ExplicitVRLittleEndian,
    MRImageStorage,
    NuclearMedicineImageStorage,
    PositronEmissionTomographyImageStorage,
    RTDoseStorage,
    SecondaryCaptureImageStorage,
)

from sixpoint._typing import Array

MODALITIES: dict[str, str] = {
    CTImageStorage: "CT",
    EnhancedCTImageStorage: "CT",
    EnhancedMRImageStorage: "MR",
    EnhancedPETImageStorage: "PT",
    MRImageStorage: "MR",
    NuclearMedicineImageStorage: "NM",
    PositronEmissionTomographyImageStorage: "PT",
    RTDoseStorage: "RTDOSE",
    SecondaryCaptureImageStorage: "OT",
}

SPACING = (0.8, 1.1, 2.5)
"""Spacing (x, y, z) in mm of the images."""

ORIGIN = (-17.0, 23.0, -61.0)
"""Position (LPS, mm) of their first voxel."""

AXIAL = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)

UID_ROOT = "1.2.826.0.1.3680043.8.498."

VOXELS = np.random.default_rng(3).integers(-500, 500, (12, 9, 10)).astype(np.int16)
"""Voxels [z, y, x] of the images, unless others are given."""

Edit = Callable[[Dataset, int], None]


def nothing(dataset: Dataset, number: int) -> None:
    """Leave a header as it is."""


def setting(keyword: str, value: object, *, of: int | None = None) -> Edit:
    """A change of one attribute in all slices, or in one of them."""

    def edit(dataset: Dataset, z: int) -> None:
        if of is None or z == of:
            setattr(dataset, keyword, value)

    return edit


def removing(*keywords: str) -> Edit:
    """A change that takes attributes out of all slices."""

    def edit(dataset: Dataset, z: int) -> None:
        for keyword in keywords:
            delattr(dataset, keyword)

    return edit


def header(sop_class: str, *, series: int = 1, number: int = 1) -> Dataset:
    """A header without geometry and pixels."""
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.file_meta.MediaStorageSOPClassUID = UID(sop_class)
    dataset.SOPClassUID = sop_class
    dataset.file_meta.MediaStorageSOPInstanceUID = UID(f"{UID_ROOT}{series}.{number}")
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID
    dataset.SeriesInstanceUID = f"{UID_ROOT}{series}"
    dataset.StudyInstanceUID = f"{UID_ROOT}7"
    dataset.FrameOfReferenceUID = f"{UID_ROOT}8"
    dataset.PatientName, dataset.PatientID, dataset.StudyDate, dataset.StudyTime = (
        "Doe^Jane",
        "X123",
        "20200101",
        "0000",
    )
    dataset.PatientBirthDate, dataset.PatientSex, dataset.AccessionNumber, dataset.StudyID = "", "", "", ""
    dataset.Modality = MODALITIES.get(sop_class, "OT")
    dataset.SeriesNumber, dataset.InstanceNumber = series, number
    return dataset


def set_pixels(dataset: Dataset, values: Array, *, bits_stored: int | None = None) -> None:
    """Store whole numbers, [y, x] or [frame, y, x], in the type that they have."""
    bits = values.dtype.itemsize * 8
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.Rows, dataset.Columns = values.shape[-2:]
    dataset.BitsAllocated, dataset.BitsStored = bits, bits_stored or bits
    dataset.HighBit = dataset.BitsStored - 1
    dataset.PixelRepresentation = int(values.dtype.kind == "i")
    if values.ndim == 3:
        dataset.NumberOfFrames = len(values)
    dataset.PixelData = values.tobytes()


def positions_along(
    count: int,
    *,
    step: float = SPACING[2],
    origin: npt.ArrayLike = ORIGIN,
    orientation: Sequence[float] = AXIAL,
) -> npt.NDArray[np.float64]:
    """Positions (LPS, mm) of slices, ``step`` mm apart along the normal."""
    normal = np.cross(orientation[:3], orientation[3:])
    return np.array(origin) + np.arange(count)[:, None] * step * normal


def write_series(
    folder: Path,
    voxels: Array = VOXELS,
    *,
    positions: npt.NDArray[np.float64] | None = None,
    orientation: Sequence[float] = AXIAL,
    sop_class: str = CTImageStorage,
    series: int = 1,
    edit: Edit = nothing,
) -> Path:
    """Write a classic series, a file for each slice, and return its folder.

    Args:
        folder: Folder to write to; it may exist.
        voxels: Stored values [z, y, x].
        positions: Position of each slice; None for an even spacing along the normal.
        orientation: Cosines of rows and columns.
        sop_class: SOP class of the files.
        series: Series number.
        edit: Changes the header of each slice, given with its number from 0.
    """
    folder.mkdir(exist_ok=True)
    places = positions_along(len(voxels), orientation=orientation) if positions is None else positions
    for z, values in enumerate(voxels):
        dataset = header(sop_class, series=series, number=z + 1)
        dataset.ImagePositionPatient = [round(value, 6) for value in places[z].tolist()]
        dataset.ImageOrientationPatient = [round(value, 9) for value in orientation]
        dataset.PixelSpacing, dataset.SliceThickness = [SPACING[1], SPACING[0]], SPACING[2]
        dataset.RescaleSlope, dataset.RescaleIntercept = 1, 0
        set_pixels(dataset, values)
        edit(dataset, z)
        dataset.save_as(folder / f"{series}-{z + 1:03}.dcm", enforce_file_format=True)
    return folder


def write_enhanced(
    path: Path,
    voxels: Array = VOXELS,
    *,
    order: Sequence[int] | None = None,
    positions: npt.NDArray[np.float64] | None = None,
    orientation: Sequence[float] = AXIAL,
    pixel_spacing: Sequence[float] = (SPACING[1], SPACING[0]),
    rescale: Sequence[tuple[float, float]] | None = None,
    shared_groups: bool = True,
    sop_class: str = EnhancedCTImageStorage,
    edit_frame: Edit = nothing,
    edit: Callable[[Dataset], None] = lambda _: None,
) -> Path:
    """Write an enhanced multi-frame file and return its path.

    Args:
        path: File to write.
        voxels: Stored values [z, y, x].
        order: For each frame in the file, which slice it is; None for the order of z.
        positions: Position of each slice; None for an even spacing along the normal.
        orientation: Cosines of rows and columns.
        pixel_spacing: Millimetres between rows and between columns.
        rescale: Slope and intercept of each slice; None for 1 and 0, which all share.
        shared_groups: Whether orientation and pixel spacing are shared, or repeated in each frame.
        sop_class: SOP class of the file.
        edit_frame: Changes the functional groups of each frame, given with its slice from 0.
        edit: Changes the whole header.
    """
    places = positions_along(len(voxels), orientation=orientation) if positions is None else positions
    slices = range(len(voxels)) if order is None else order
    dataset, shared = header(sop_class), Dataset()
    measures, plane, same_rescale = Dataset(), Dataset(), Dataset()
    measures.PixelSpacing, measures.SliceThickness = list(pixel_spacing), SPACING[2]
    plane.ImageOrientationPatient = [round(value, 9) for value in orientation]
    same_rescale.RescaleSlope, same_rescale.RescaleIntercept, same_rescale.RescaleType = 1, 0, "US"
    frames = []
    for z in slices:
        frame, content, place, own = Dataset(), Dataset(), Dataset(), Dataset()
        content.StackID, content.InStackPositionNumber, content.DimensionIndexValues = "1", z + 1, [1, z + 1]
        place.ImagePositionPatient = [round(value, 6) for value in places[z].tolist()]
        frame.FrameContentSequence, frame.PlanePositionSequence = [content], [place]
        if rescale is not None:
            own.RescaleSlope, own.RescaleIntercept, own.RescaleType = *rescale[z], "US"
            frame.PixelValueTransformationSequence = [own]
        if not shared_groups:
            frame.PixelMeasuresSequence, frame.PlaneOrientationSequence = [measures], [plane]
        edit_frame(frame, z)
        frames.append(frame)
    if shared_groups:
        shared.PixelMeasuresSequence, shared.PlaneOrientationSequence = [measures], [plane]
    if rescale is None:
        shared.PixelValueTransformationSequence = [same_rescale]
    dataset.SharedFunctionalGroupsSequence, dataset.PerFrameFunctionalGroupsSequence = [shared], frames
    set_pixels(dataset, np.stack([voxels[z] for z in slices]))
    edit(dataset)
    dataset.save_as(path, enforce_file_format=True)
    return path
