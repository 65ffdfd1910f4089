"""DICOM SEG of objects, BINARY or LABELMAP, made by highdicom."""

from __future__ import annotations

from collections.abc import Sequence

import highdicom
import numpy as np
from highdicom.coding_schemes import CodingSchemeIdentificationItem
from highdicom.color import CIELabColor
from highdicom.seg import SegmentAlgorithmTypeValues, SegmentationTypeValues, SegmentDescription
from highdicom.sr import CodedConcept
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.uid import ExplicitVRLittleEndian, generate_uid
from pydicom.valuerep import DSfloat

from sixpoint._typing import Array
from sixpoint.errors import InvalidArgument
from sixpoint.io.dicom.output.codes import PRIVATE_SCHEME, code_of
from sixpoint.io.dicom.output.equipment import MANUFACTURER, software_version, text
from sixpoint.io.dicom.output.source import SourceImage
from sixpoint.io.label_names import label_colour
from sixpoint.masks.objects import LabelledObject

__all__ = ["make_segmentation"]

# Of overlapping objects highdicom takes an array of all, a byte for each voxel of each.
_MAX_STACKED_BYTES = 2**32
# highdicom 0.28 packs the bits of smaller slices wrongly.
_MIN_PIXELS = 8


def make_segmentation(
    objects: Sequence[LabelledObject], source: SourceImage, *, labelmap: bool, creator: str
) -> Dataset:
    """Make a DICOM SEG of objects, in the order of their numbers.

    Segments of a BINARY one are counted from 1, as the standard asks for; those of a LABELMAP have the numbers of the
    objects.

    Args:
        objects: Objects that have voxels, by number.
        source: Image that they belong to.
        labelmap: Whether it is a LABELMAP, in which objects cannot overlap, instead of BINARY.
        creator: Name of the person who made it; empty to say nobody.

    Raises:
        InvalidArgument: The objects overlap, and it is a LABELMAP; or there are too many that do; or it is BINARY, and
            a slice has fewer than eight pixels.
    """
    if not labelmap and source.geometry.size[0] * source.geometry.size[1] < _MIN_PIXELS:
        raise InvalidArgument(
            f"slices of fewer than {_MIN_PIXELS} pixels do not fit into a BINARY segmentation; write a label map "
            "(--dicom labelmap, dicom='labelmap')"
        )
    numbers = [item.number for item in objects] if labelmap else list(range(1, len(objects) + 1))
    pixels = _pixels(objects, numbers, source, labelmap=labelmap)
    made: Dataset = highdicom.seg.Segmentation(
        source_images=_references(source),
        pixel_array=pixels,
        segmentation_type=SegmentationTypeValues.LABELMAP if labelmap else SegmentationTypeValues.BINARY,
        segment_descriptions=[_describe(item, number) for item, number in zip(objects, numbers, strict=True)],
        series_instance_uid=generate_uid(),
        series_number=source.series_number,
        sop_instance_uid=generate_uid(),
        instance_number=1,
        manufacturer=MANUFACTURER,
        manufacturer_model_name=MANUFACTURER,
        software_versions=software_version(),
        device_serial_number="0",
        content_label="SEGMENTATION",
        content_description="Objects outlined with sixpoint",
        transfer_syntax_uid=ExplicitVRLittleEndian,
        series_description="Segmentation by sixpoint",
        specific_character_set="ISO_IR 192",
        coding_schemes=[
            CodingSchemeIdentificationItem(
                designator=PRIVATE_SCHEME, name="Names of objects in sixpoint", responsible_organization=MANUFACTURER
            )
        ],
    )
    # Empty rather than absent, as the standard asks for where nobody is named.
    made.ContentCreatorName = creator
    return made


def _pixels(objects: Sequence[LabelledObject], numbers: Sequence[int], source: SourceImage, *, labelmap: bool) -> Array:
    """Label map, or array of all objects if they overlap, in the order of the image's frames."""
    shape = source.geometry.shape
    pixels: Array = np.zeros(shape, np.uint8 if max(numbers) < 2**8 else np.uint16)
    for item, number in zip(objects, numbers, strict=True):
        part = pixels[item.box]
        if part[item.voxels].any():
            break
        part[item.voxels] = number
    else:
        return pixels[_order(source)]
    if labelmap:
        raise InvalidArgument(
            f"object {item.number} overlaps others, and a voxel of a LABELMAP belongs to one object; write a BINARY "
            "segmentation (--dicom seg, dicom='seg')"
        )
    if pixels.size * len(objects) > _MAX_STACKED_BYTES:
        raise InvalidArgument(
            f"{len(objects)} objects that overlap are too many for one DICOM file of this image; save them one by one"
        )
    stacked = np.zeros((*shape, len(objects)), np.uint8)
    for position, item in enumerate(objects):
        stacked[(*item.box, position)] = item.voxels
    return stacked[_order(source)]


def _order(source: SourceImage) -> Sequence[int] | slice:
    """For each frame of the image, which slice it is."""
    if not source.is_multiframe:
        return slice(None)
    return np.argsort([frame.index for frame in source.frames]).tolist()


def _describe(item: LabelledObject, number: int) -> SegmentDescription:
    """What a segment shows, and who outlined it."""
    meaning = code_of(item.name, item.snomed_code)
    algorithm = None
    if item.origin != "MANUAL":
        algorithm = highdicom.AlgorithmIdentificationSequence(
            name=text(item.model), family=codes.DCM.ArtificialIntelligence, version=text(item.model_version)
        )
    description = SegmentDescription(
        segment_number=number,
        segment_label=text(item.name) or f"Segment {item.number}",
        segmented_property_category=meaning.category,
        segmented_property_type=meaning.kind,
        algorithm_type=SegmentAlgorithmTypeValues[item.origin],
        algorithm_identification=algorithm,
        display_color=CIELabColor.from_rgb(*(round(part * 255) for part in label_colour(item.number))),
    )
    if meaning.side:
        description.SegmentedPropertyTypeCodeSequence[0].SegmentedPropertyTypeModifierCodeSequence = [
            CodedConcept.from_code(meaning.side)
        ]
    return description


def _references(source: SourceImage) -> list[Dataset]:
    """The image's files as highdicom looks at them: what is said of their frames is the same in all of them."""
    if source.is_multiframe:
        file = _reference(source, 0)
        shared = Dataset()
        shared.PixelMeasuresSequence, shared.PlaneOrientationSequence = [_measures(source)], [_orientation(source)]
        file.SharedFunctionalGroupsSequence = [shared]
        file.PerFrameFunctionalGroupsSequence = [_place(source, z) for z in _order(source)]  # type: ignore[union-attr]
        file.NumberOfFrames = len(source.frames)
        return [file]
    files = []
    for z, frame in enumerate(source.frames):
        file = _reference(source, z)
        file.update(_measures(source))
        file.update(_orientation(source))
        file.ImagePositionPatient = list(frame.position or ())
        files.append(file)
    return files


def _reference(source: SourceImage, z: int) -> Dataset:
    """A header with the patient, the study, and the UIDs of a slice's file."""
    header, file = source.headers[z], Dataset()
    file.update(source.subject)
    for keyword in ("SOPClassUID", "SOPInstanceUID", "SeriesInstanceUID", "Modality", "LossyImageCompression"):
        if header.get(keyword):
            setattr(file, keyword, header[keyword].value)
    file.Rows, file.Columns = source.geometry.size[1], source.geometry.size[0]
    return file


def _measures(source: SourceImage) -> Dataset:
    """Sizes of a voxel. The header's own thickness of slices is about the acquisition; these are a mask's voxels."""
    x, y, z = (DSfloat(value, auto_format=True) for value in source.geometry.spacing)
    measures = Dataset()
    measures.PixelSpacing, measures.SliceThickness, measures.SpacingBetweenSlices = [y, x], z, z
    return measures


def _orientation(source: SourceImage) -> Dataset:
    orientation = Dataset()
    orientation.ImageOrientationPatient = list(source.frames[0].orientation or ())
    return orientation


def _place(source: SourceImage, z: int) -> Dataset:
    group, place = Dataset(), Dataset()
    place.ImagePositionPatient = list(source.frames[z].position or ())
    group.PlanePositionSequence = [place]
    return group
