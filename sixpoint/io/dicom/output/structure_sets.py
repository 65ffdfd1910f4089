"""RTSTRUCT of objects: closed contours along the sides of voxels, slice by slice.

A contour has exactly the voxels of its object inside. Holes are joined to the contour round them by a channel of no
width, the keyhole of PS3.3 C.8.8.6.3, so that readers which know nothing of holes get them, too.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from datetime import datetime

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sr.coding import Code
from pydicom.uid import (
    PYDICOM_IMPLEMENTATION_UID,
    ImplicitVRLittleEndian,
    RTStructureSetStorage,
    generate_uid,
)

from sixpoint._typing import Points
from sixpoint.errors import InvalidArgument
from sixpoint.io.dicom.output.codes import code_of
from sixpoint.io.dicom.output.equipment import MANUFACTURER, software_version, text
from sixpoint.io.dicom.output.source import SourceImage
from sixpoint.io.label_names import label_colour
from sixpoint.masks.contours import trace_polygons
from sixpoint.masks.objects import LabelledObject

__all__ = ["make_structure_set"]

# The class that the reference to the study names; it is retired, and still asked for.
_STUDY_CLASS = "1.2.840.10008.3.1.2.3.1"
# Characters of a number in text, and how far rounding may move a point, in voxels.
_NUMBER_LENGTH, _ROUNDING = 16, 1e-3


def make_structure_set(objects: Sequence[LabelledObject], source: SourceImage, *, creator: str) -> Dataset:
    """Make an RTSTRUCT of objects; the number of an ROI is that of its object.

    Args:
        objects: Objects that have voxels, by number.
        source: Image that they belong to.
        creator: Name of the person who made it; empty to say nobody.

    Raises:
        InvalidArgument: The voxels are too small, where they lie, for numbers of 16 characters.
    """
    made, now = Dataset(), datetime.now()
    made.update(source.subject)
    made.file_meta = FileMetaDataset()
    made.file_meta.MediaStorageSOPClassUID = made.SOPClassUID = RTStructureSetStorage
    made.file_meta.MediaStorageSOPInstanceUID = made.SOPInstanceUID = generate_uid()
    # The only one in which a contour of any length can be written: texts of explicit VRs end at 64 kB.
    made.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
    made.file_meta.ImplementationClassUID = PYDICOM_IMPLEMENTATION_UID
    made.InstanceCreationDate = made.StructureSetDate = made.SeriesDate = now.strftime("%Y%m%d")
    made.InstanceCreationTime = made.StructureSetTime = made.SeriesTime = now.strftime("%H%M%S")
    made.Modality, made.SeriesInstanceUID = "RTSTRUCT", generate_uid()
    made.SeriesNumber, made.InstanceNumber = source.series_number, 1
    made.SeriesDescription = "Contours by sixpoint"
    made.Manufacturer = made.ManufacturerModelName = MANUFACTURER
    made.SoftwareVersions, made.OperatorsName = software_version(), creator
    made.StructureSetLabel, made.ApprovalStatus = MANUFACTURER, "UNAPPROVED"
    made.ReferencedFrameOfReferenceSequence = [_frame_of_reference(source)]
    made.StructureSetROISequence = [_roi(item, source) for item in objects]
    decimals = _decimals(source)
    made.ROIContourSequence = [_contours(item, source, decimals) for item in objects]
    made.RTROIObservationsSequence = [_observation(item, creator=creator) for item in objects]
    return made


def _frame_of_reference(source: SourceImage) -> Dataset:
    """The image by its UIDs: frame of reference, study, series, and each of its files."""
    frame, study, series = Dataset(), Dataset(), Dataset()
    series.SeriesInstanceUID = source.headers[0].SeriesInstanceUID
    files = range(1) if source.is_multiframe else range(len(source.frames))
    series.ContourImageSequence = [_image(source, z) for z in files]
    study.ReferencedSOPClassUID, study.ReferencedSOPInstanceUID = _STUDY_CLASS, source.subject.StudyInstanceUID
    study.RTReferencedSeriesSequence = [series]
    frame.FrameOfReferenceUID = source.subject.FrameOfReferenceUID
    frame.RTReferencedStudySequence = [study]
    return frame


def _image(source: SourceImage, z: int, *, frame: bool = False) -> Dataset:
    """A reference to the file of a slice, or to the slice's frame in it."""
    image = Dataset()
    image.ReferencedSOPClassUID = source.headers[z].SOPClassUID
    image.ReferencedSOPInstanceUID = source.headers[z].SOPInstanceUID
    if frame and source.is_multiframe:
        image.ReferencedFrameNumber = source.frames[z].index + 1
    return image


def _roi(item: LabelledObject, source: SourceImage) -> Dataset:
    roi = Dataset()
    roi.ROINumber, roi.ROIName = item.number, text(item.name) or f"Segment {item.number}"
    roi.ReferencedFrameOfReferenceUID = source.subject.FrameOfReferenceUID
    roi.ROIGenerationAlgorithm = item.origin
    if item.origin != "MANUAL":
        roi.ROIGenerationDescription = text(f"{item.model} {item.model_version}")
    return roi


def _contours(item: LabelledObject, source: SourceImage, decimals: int) -> Dataset:
    roi = Dataset()
    roi.ReferencedROINumber = item.number
    roi.ROIDisplayColor = [round(part * 255) for part in label_colour(item.number)]
    roi.ContourSequence = []
    for z, points in _polygons(item, source):
        contour = Dataset()
        contour.ContourNumber = len(roi.ContourSequence) + 1
        contour.ContourImageSequence = [_image(source, z, frame=True)]
        contour.ContourGeometricType, contour.NumberOfContourPoints = "CLOSED_PLANAR", len(points)
        contour.ContourData = [_number(value, decimals) for value in points.reshape(-1).tolist()]
        roi.ContourSequence.append(contour)
    return roi


def _polygons(item: LabelledObject, source: SourceImage) -> Iterator[tuple[int, Points]]:
    """The slice and the points (LPS, mm) of each contour."""
    x, y, z = item.lower
    for number, pixels in enumerate(item.voxels):
        for polygon in trace_polygons(pixels):
            corners = np.column_stack([polygon + np.array([x, y]), np.full(len(polygon), z + number)])
            yield z + number, source.geometry.index_to_point(corners)


def _observation(item: LabelledObject, *, creator: str) -> Dataset:
    meaning, observation = code_of(item.name, item.snomed_code), Dataset()
    observation.ObservationNumber = observation.ReferencedROINumber = item.number
    observation.RTROIInterpretedType, observation.ROIInterpreter = "", creator
    kind = _code(meaning.kind)
    if meaning.side:
        kind.SegmentedPropertyTypeModifierCodeSequence = [_code(meaning.side)]
    observation.RTROIIdentificationCodeSequence = [kind]
    return observation


def _code(code: Code) -> Dataset:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = code.value, code.scheme_designator, code.meaning
    return item


def _decimals(source: SourceImage) -> int:
    """How many decimals the numbers of points need and may have.

    Raises:
        InvalidArgument: They need more than they may have.
    """
    geometry = source.geometry
    ends = geometry.index_to_point([(a, b, c) for a in (-1, geometry.size[0]) for b in (-1, geometry.size[1])
                                    for c in (-1, geometry.size[2])])  # fmt: skip
    whole = len(str(math.ceil(float(np.abs(ends).max()))))
    needed = max(3, math.ceil(-math.log10(min(geometry.spacing) * _ROUNDING)))
    if needed + whole + len("-.") > _NUMBER_LENGTH:
        raise InvalidArgument(
            f"the voxels ({min(geometry.spacing):.3g} mm) are too small for contours so far from the patient's origin, "
            "whose numbers have 16 characters; write a segmentation (--dicom seg, dicom='seg')"
        )
    return needed


def _number(value: float, decimals: int) -> str:
    """A number as text, without zeros at its end."""
    written = f"{value:.{decimals}f}".rstrip("0").rstrip(".")
    return "0" if written in ("-0", "") else written
