"""The DICOM image that a mask belongs to: what a SEG or an RTSTRUCT refers to, and what it copies."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pydicom
from pydicom.dataset import Dataset
from pydicom.uid import UID

from sixpoint._typing import Array
from sixpoint.errors import VolumeError
from sixpoint.geometry import Geometry
from sixpoint.io.dicom.file_frames import frames_of
from sixpoint.io.dicom.frames import Frame
from sixpoint.io.dicom.guard import reading
from sixpoint.io.dicom.headers import Series, find_series
from sixpoint.io.dicom.pixels import read_voxels
from sixpoint.io.dicom.stack import stack_frames

__all__ = ["SourceImage", "find_source", "read_matching"]

_REFERENCES = ("StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID", "SOPClassUID", "SOPInstanceUID")
# Of the patient and the study: programs file objects by them, and an object that lacks one lies with another patient.
_NEEDED = (
    "PatientName",
    "PatientID",
    "PatientBirthDate",
    "PatientSex",
    "StudyDate",
    "StudyTime",
    "StudyID",
    "AccessionNumber",
    "ReferringPhysicianName",
)
_OPTIONAL = (
    "IssuerOfPatientID",
    "PatientIdentityRemoved",
    "DeidentificationMethod",
    "DeidentificationMethodCodeSequence",
    "StudyDescription",
    "PatientAge",
    "PatientSize",
    "PatientWeight",
    "ClinicalTrialSponsorName",
    "ClinicalTrialProtocolID",
    "ClinicalTrialProtocolName",
    "ClinicalTrialSiteID",
    "ClinicalTrialSiteName",
    "ClinicalTrialSubjectID",
    "ClinicalTrialSubjectReadingID",
    "ClinicalTrialTimePointID",
    "ClinicalTrialTimePointDescription",
)
_FORMS = {"PatientSex": "[MFO]?", "PatientBirthDate": r"(\d{8})?", "StudyDate": r"(\d{8})?"}
_FORMS["StudyTime"] = r"((\d{2}){1,3}|\d{6}\.\d{1,6})?"
_OF_IMAGES = ("Modality", "SeriesNumber", "PositionReferenceIndicator", "LossyImageCompression")


@dataclass(frozen=True)
class SourceImage:
    """A DICOM image, as objects that are made of it see it.

    Attributes:
        geometry: Geometry of the image.
        frames: Slices in the order of z.
        headers: For each slice, attributes of its file: UIDs, the patient's and the study's.
        subject: Attributes of patient and study that the object gets, in Unicode.
    """

    geometry: Geometry
    frames: Sequence[Frame]
    headers: Sequence[Dataset]
    subject: Dataset

    @property
    def is_multiframe(self) -> bool:
        """Whether all slices are in one file of many frames."""
        return len(self.frames) > 1 and len({id(frame.file) for frame in self.frames}) == 1

    @property
    def series_number(self) -> int:
        """A series number for the object: beside that of the image."""
        try:
            return max(1, int(self.headers[0].get("SeriesNumber") or 0) + 1000)
        except (TypeError, ValueError):
            return 1000


def find_source(
    path: Path, geometry: Geometry, is_image: Callable[[Geometry, Array], bool] | None, *, series_uid: str | None
) -> SourceImage:
    """Find the image of a mask in a folder or file, and read what an object that belongs to it must say.

    Args:
        path: Folder with a DICOM series, or file of many frames.
        geometry: Geometry of the mask.
        is_image: Says of a series with this geometry whether its voxels are the image's; None to believe it.
        series_uid: UID of the image's series; None to look for it.

    Raises:
        VolumeError: The image is not there, or twice; or its headers lack what the object needs.
    """
    images = [candidate for candidate in find_series(path) if not candidate.is_segmentation]
    if series_uid is not None:
        images = [candidate for candidate in images if candidate.uid == series_uid]
    matching = [ordered for candidate in images if (ordered := _match(candidate, path, geometry))]
    # Voxels are decoded last: most folders hold one series.
    if is_image and len(matching) > 1:
        matching = [ordered for ordered in matching if is_image(geometry, read_voxels(ordered, path))]
        is_image = None
    if len(matching) > 1:
        raise VolumeError(
            f"{path} holds the image {len(matching)} times, as several series; put the one that the mask shall belong "
            "to into a folder of its own"
        )
    if matching:
        frames = matching[0]
        if len({id(frame.file) for frame in frames}) not in (1, len(frames)):
            raise VolumeError(
                f"{path}: its slices are in several files of many frames, to which nothing can refer as one"
            )
        headers = _read_headers(frames, path)
        _check_references(headers, frames, path)
        if is_image is None or is_image(geometry, read_voxels(frames, path)):
            return SourceImage(geometry, frames, headers, _subject(headers[0], path))
    raise VolumeError(
        f"{path} does not hold the image that the mask was drawn on: expected the same voxels at the same places; give "
        "the DICOM files that the image was read from"
    )


def read_matching(series: Series, path: Path, geometry: Geometry) -> Array | None:
    """Return the voxels [z, y, x] of a series; None if its geometry is another one.

    Args:
        series: Series of an image.
        path: Folder or file that it lies in.
        geometry: Geometry that is looked for.

    Raises:
        VolumeError: Its voxels cannot be read.
    """
    ordered = _match(series, path, geometry)
    return None if ordered is None else read_voxels(ordered, path)


def _match(candidate: Series, path: Path, geometry: Geometry) -> list[Frame] | None:
    """The slices of a series in order; None if it has another geometry."""
    try:
        frames = [frame for file in candidate.files for frame in frames_of(file, path)]
        # The spacing is of use where the header lacks it, as that of a single slice does.
        ordered, found = stack_frames(frames, path, spacing=geometry.spacing)
    except VolumeError:
        return None
    return ordered if found == geometry else None


def _read_headers(frames: Sequence[Frame], path: Path) -> list[Dataset]:
    """The attributes that objects copy or refer to, of each slice's file; others are never parsed."""
    keywords = ["SpecificCharacterSet", *_REFERENCES, *_NEEDED, *_OPTIONAL, *_OF_IMAGES]
    headers: dict[str, Dataset] = {}
    with reading(f"{path}: a DICOM file is damaged; copy it anew from its source"):
        for frame in frames:
            name = str(frame.file.filename)
            if name not in headers:
                headers[name] = pydicom.dcmread(name, stop_before_pixels=True, force=True, specific_tags=[*keywords])
                headers[name].decode()
    return [headers[str(frame.file.filename)] for frame in frames]


def _check_references(headers: Sequence[Dataset], frames: Sequence[Frame], path: Path) -> None:
    """Refuse an image to which no object can refer.

    Raises:
        VolumeError: A UID is missing, is none, or is another slice's; or the slices have no position.
    """
    files = list({id(header): header for header in headers}.values())
    advice = "export the series anew from its archive, or write .nii.gz, .nrrd or .mha"
    for keyword in _REFERENCES:
        values = [str(file.get(keyword) or "") for file in files]
        bad = sum(not UID(value).is_valid for value in values)
        if bad:
            what = "is missing or empty" if not all(values) else "is no UID"
            raise VolumeError(
                f"{path}: {keyword} {what} in {bad} of {len(files)} files, and a DICOM mask must refer to its image by "
                f"it; {advice}"
            )
        distinct = len(set(values))
        if keyword == "SOPInstanceUID" and distinct < len(files):
            raise VolumeError(
                f"{path}: {len(files)} files have only {distinct} SOPInstanceUIDs, and a DICOM mask must refer to each "
                f"slice by its own; {advice}"
            )
        if keyword != "SOPInstanceUID" and distinct > 1:
            raise VolumeError(f"{path}: its files differ in {keyword}, expected those of one image; {advice}")
    if frames[0].position is None or frames[0].orientation is None:
        raise VolumeError(
            f"{path}: its slices have no position in the patient (ImagePositionPatient), by which a DICOM mask is "
            f"placed; {advice}"
        )


def _subject(header: Dataset, path: Path) -> Dataset:
    """Patient and study, as an object may state them: what is not in DICOM's form is left empty.

    Raises:
        VolumeError: The patient's name or id is not in DICOM's form, and without it the object would be another's.
    """
    subject = Dataset()
    subject.SpecificCharacterSet = "ISO_IR 192"
    for keyword in _NEEDED:
        value = header.get(keyword)
        value = "" if value is None else value
        if not re.fullmatch(_FORMS.get(keyword, ".*"), str(value), re.DOTALL):
            value = ""
        with reading(
            f"{path}: {keyword} is not in DICOM's form, so no DICOM mask can state it; correct the header, or write "
            ".nii.gz, .nrrd or .mha"
        ):
            setattr(subject, keyword, value)
    for keyword in _OPTIONAL:
        if header.get(keyword) not in (None, "", []):
            try:
                with reading(keyword):
                    setattr(subject, keyword, header[keyword].value)
            except VolumeError:
                continue
    subject.StudyInstanceUID = header.StudyInstanceUID
    subject.FrameOfReferenceUID = header.FrameOfReferenceUID
    subject.PositionReferenceIndicator = header.get("PositionReferenceIndicator") or ""
    return subject
