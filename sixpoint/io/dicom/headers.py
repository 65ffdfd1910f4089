"""Headers of DICOM files, and the series that the files of a folder make up."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from pathlib import Path

import pydicom
from pydicom.dataset import Dataset
from pydicom.tag import Tag
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian

from sixpoint.errors import VolumeError
from sixpoint.io.dicom.frames import whole
from sixpoint.io.dicom.guard import reading

__all__ = ["DicomFile", "Series", "find_series", "is_dicom_file", "may_be_dicom", "read_header"]

_PREAMBLE = b"DICM"
_PREAMBLE_END = 132
# Files without a preamble begin with an element of group 0002 or 0008, in little endian.
_FIRST_GROUPS = (b"\x02\x00", b"\x08\x00")

# Larger elements, which are pixels, are read when they are needed.
_DEFERRED_BYTES = 4096

_PIXEL_DATA = Tag("PixelData")
_IMAGE_SIZE = ("Rows", "Columns", "BitsAllocated")
_SEGMENTATIONS = ("1.2.840.10008.5.1.4.1.1.66.4", "1.2.840.10008.5.1.4.1.1.66.7")

# All that is read of a header: the rest, private elements and a patient's data among it, is never parsed.
_KEYWORDS = [
    "BitsAllocated",
    "BitsStored",
    "Columns",
    "DetectorInformationSequence",
    "DoseGridScaling",
    "FrameIncrementPointer",
    "GridFrameOffsetVector",
    "HighBit",
    "ImageOrientationPatient",
    "ImagePositionPatient",
    "InstanceNumber",
    "Modality",
    "ModalityLUTSequence",
    "NumberOfFrames",
    "PerFrameFunctionalGroupsSequence",
    "PhotometricInterpretation",
    "PixelData",
    "PixelRepresentation",
    "PlanarConfiguration",
    "PixelSpacing",
    "RescaleIntercept",
    "RescaleSlope",
    "Rows",
    "SOPClassUID",
    "SamplesPerPixel",
    "SeriesInstanceUID",
    "SeriesNumber",
    "SharedFunctionalGroupsSequence",
    "SliceThickness",
    "SliceVector",
    "SpacingBetweenSlices",
]


@dataclass(frozen=True)
class DicomFile:
    """A DICOM file with pixel data.

    Attributes:
        path: Place of the file.
        header: Attributes that reading needs, the pixels still on the disk.
        sop_class: SOP class; empty when the file does not say it.
        compressed: Whether the pixels are compressed.
    """

    path: Path
    header: Dataset
    sop_class: str
    compressed: bool

    @property
    def is_segmentation(self) -> bool:
        """Whether it is a DICOM SEG object."""
        return self.sop_class in _SEGMENTATIONS or self.header.get("Modality") == "SEG"

    @property
    def frame_count(self) -> int:
        """Frames in the file; 1 when the header does not say it."""
        return whole(self.header, "NumberOfFrames") or 1


@dataclass(frozen=True)
class Series:
    """The files of a folder that have one SeriesInstanceUID.

    Attributes:
        files: Files with pixel data, by name.
    """

    files: tuple[DicomFile, ...]

    @property
    def is_segmentation(self) -> bool:
        """Whether it holds DICOM SEG objects."""
        return any(file.is_segmentation for file in self.files)

    @property
    def uid(self) -> str:
        """SeriesInstanceUID; empty where the files have none."""
        return str(self.files[0].header.get("SeriesInstanceUID") or "")

    def describe(self) -> str:
        """Modality, series number and size, in words; free of names, dates and UIDs."""
        header = self.files[0].header
        number = whole(header, "SeriesNumber")
        count = sum(file.frame_count for file in self.files)
        slices = f"{count} slice{'s' if count > 1 else ''} of {header.Columns} x {header.Rows}"
        return (
            f"{header.get('Modality') or 'modality unknown'}, {f'series number {number}, ' if number else ''}{slices}"
        )


def is_dicom_file(path: Path) -> bool:
    """Whether a file begins as DICOM files do.

    Raises:
        OSError: When it cannot be opened.
    """
    return _look(path)[1]


def _look(path: Path) -> tuple[bool, bool]:
    """Whether a file has DICOM's preamble; and whether it begins as DICOM files do, with a preamble or without."""
    with path.open("rb") as file:
        head = file.read(_PREAMBLE_END)
    return head.endswith(_PREAMBLE), may_be_dicom(head)


def may_be_dicom(head: bytes) -> bool:
    """Whether the first bytes of a file, at least 132 of one with a preamble, are those of a DICOM file."""
    return head[:_PREAMBLE_END].endswith(_PREAMBLE) or head[:2] in _FIRST_GROUPS


def read_header(path: Path, source: Path) -> DicomFile | None:
    """Read a file's header; None when it is no DICOM file, or one without pixels (a report, contours, a DICOMDIR).

    Args:
        path: File to read.
        source: Path that the user typed, for error messages.

    Raises:
        VolumeError: When a DICOM file is damaged.
    """
    sure, possible = _look(path)
    if not possible:
        return None
    try:
        with reading(f"{source}: a DICOM file is damaged; copy it anew from its source"):
            header = pydicom.dcmread(path, defer_size=_DEFERRED_BYTES, force=not sure, specific_tags=list(_KEYWORDS))
            # Values are parsed when they are first used: here, where damage is expected.
            for tag in header.keys() - {_PIXEL_DATA}:
                element = header[tag]
                for item in element.value if element.VR == "SQ" else ():
                    deque(item.iterall(), maxlen=0)
            if "TransferSyntaxUID" not in header.file_meta:
                implicit = header.original_encoding[0]
                header.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian if implicit else ExplicitVRLittleEndian
            compressed = header.file_meta.TransferSyntaxUID.is_compressed
            sop_class = str(header.get("SOPClassUID") or header.file_meta.get("MediaStorageSOPClassUID") or "")
    except VolumeError:
        if not sure:
            return None
        raise
    if not all(whole(header, keyword) for keyword in _IMAGE_SIZE):
        return None
    return DicomFile(path, header, sop_class, compressed)


def find_series(source: Path) -> list[Series]:
    """The series with pixels in a folder, without its sub-folders, or in one file; by series number.

    Raises:
        VolumeError: When a file cannot be opened, or a DICOM file is damaged.
    """
    by_uid: dict[str, list[DicomFile]] = {}
    try:
        paths = [source] if source.is_file() else sorted(path for path in source.iterdir() if path.is_file())
        for path in paths:
            file = read_header(path, source)
            if file:
                by_uid.setdefault(str(file.header.get("SeriesInstanceUID") or ""), []).append(file)
    except OSError as error:
        raise VolumeError(f"{source} cannot be read: {error.strerror}") from error
    ordered = sorted(by_uid.items(), key=lambda entry: (whole(entry[1][0].header, "SeriesNumber") or 0, entry[0]))
    return [Series(tuple(files)) for _, files in ordered]
