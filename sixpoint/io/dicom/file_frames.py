"""The slices in a DICOM file, each with its own place and rescale: functional groups, dose grids, classic headers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue
from pydicom.sequence import Sequence

from sixpoint._typing import Points, Vector
from sixpoint.errors import VolumeError
from sixpoint.io.dicom.frames import Frame, PixelFormat, first_item, numbers, vector, whole
from sixpoint.io.dicom.headers import DicomFile

__all__ = ["frames_of"]

_RT_DOSE = "1.2.840.10008.5.1.4.1.1.481.2"
_NUCLEAR_MEDICINE = "1.2.840.10008.5.1.4.1.1.20"
_SLICE_VECTOR = 0x00540080


def frames_of(file: DicomFile, source: Path) -> list[Frame]:
    """The slices in a file.

    Args:
        file: A file that is no segmentation.
        source: Path that the user typed, for error messages.

    Raises:
        VolumeError: When its pixels are not one number each, or its header contradicts itself.
    """
    try:
        pixels = _pixel_format(file.header)
        _check_size(file, pixels)
        count = file.frame_count
        if "PerFrameFunctionalGroupsSequence" in file.header:
            return _functional_groups(file, pixels)
        if file.sop_class == _RT_DOSE:
            return _dose(file, pixels, count)
        if count == 1:
            return [_classic(file, pixels)]
        if file.sop_class == _NUCLEAR_MEDICINE:
            return _nuclear_medicine(file, pixels, count)
        slope, intercept = _rescale(file.header)
        return _planes(file, pixels, None, slope=slope, intercept=intercept)
    except VolumeError as error:
        raise VolumeError(f"{source}: {error.message}") from error


def _pixel_format(header: Dataset) -> PixelFormat:
    samples, photometric = whole(header, "SamplesPerPixel") or 1, header.get("PhotometricInterpretation")
    if samples != 1 or photometric not in ("MONOCHROME1", "MONOCHROME2"):
        raise VolumeError(
            f"one number per voxel is needed, got {samples} ({photometric}); a colour image cannot be annotated"
        )
    allocated = whole(header, "BitsAllocated") or 0
    stored = whole(header, "BitsStored") or allocated
    if allocated == 1:
        raise VolumeError("one bit per voxel is a mask, not an image; give a DICOM SEG as --mask")
    if (
        allocated not in (8, 16, 32)
        or not 1 <= stored <= allocated
        or whole(header, "HighBit") not in (None, stored - 1)
    ):
        raise VolumeError(
            f"pixels of {stored} bits in {allocated} are not supported; expected 8, 16 or 32 bits, the low ones used"
        )
    if header.get("ModalityLUTSequence"):
        raise VolumeError("its pixel values stand for entries of a look-up table; export it with a rescale slope")
    signed = bool(whole(header, "PixelRepresentation"))
    rows, columns = whole(header, "Rows") or 0, whole(header, "Columns") or 0
    return PixelFormat(rows, columns, allocated, stored, signed, inverted_display=photometric == "MONOCHROME1")


def _check_size(file: DicomFile, pixels: PixelFormat) -> None:
    """Refuse a header that announces more than the file can hold, before memory is taken for it."""
    frame_bytes = 1 if file.compressed else pixels.rows * pixels.columns * pixels.bits_allocated // 8
    if not 0 < file.frame_count * frame_bytes <= file.path.stat().st_size:
        raise VolumeError("its header announces more pixels than the file holds; copy it anew from its source")


def _rescale(dataset: Dataset | None) -> tuple[float, float]:
    """Slope and intercept; 1 and 0 where the header does not say them."""
    slope, intercept = (numbers(dataset, keyword) for keyword in ("RescaleSlope", "RescaleIntercept"))
    if slope and slope[0] == 0:
        raise VolumeError("its RescaleSlope is 0, so all voxels would be equal; correct the header")
    return (slope[0] if slope else 1.0), (intercept[0] if intercept else 0.0)


def _pixel_spacing(dataset: Dataset | None) -> tuple[float, float] | None:
    values = numbers(dataset, "PixelSpacing")
    return (values[0], values[1]) if len(values) == 2 else None


def _position(dataset: Dataset | None) -> Vector | None:
    values = vector(dataset, "ImagePositionPatient", 3)
    return (values[0], values[1], values[2]) if values else None


def _classic(file: DicomFile, pixels: PixelFormat) -> Frame:
    header = file.header
    number = whole(header, "InstanceNumber")
    slope, intercept = _rescale(header)
    return Frame(
        file=file.header,
        index=0,
        name="a slice without an instance number" if number is None else f"the slice with instance number {number}",
        number=number,
        pixels=pixels,
        position=_position(header),
        orientation=vector(header, "ImageOrientationPatient", 6),
        pixel_spacing=_pixel_spacing(header),
        slope=slope,
        intercept=intercept,
    )


def _functional_groups(file: DicomFile, pixels: PixelFormat) -> list[Frame]:
    """The frames of an enhanced image: each group is the frame's own, or else the shared one."""
    per_frame: Sequence = file.header.PerFrameFunctionalGroupsSequence
    shared = first_item(file.header, "SharedFunctionalGroupsSequence")
    if len(per_frame) != file.frame_count:
        raise VolumeError(
            f"its header announces {file.frame_count} frames and describes {len(per_frame)}; export it anew"
        )
    return [_functional_group(file, pixels, index, frame, shared) for index, frame in enumerate(per_frame)]


def _functional_group(
    file: DicomFile, pixels: PixelFormat, index: int, frame: Dataset, shared: Dataset | None
) -> Frame:
    def group(keyword: str) -> Dataset | None:
        return first_item(frame, keyword) or first_item(shared, keyword)

    content, echo = group("FrameContentSequence"), group("MREchoSequence")
    slope, intercept = _rescale(group("PixelValueTransformationSequence"))
    return Frame(
        file=file.header,
        index=index,
        name=f"frame {index + 1}",
        number=index + 1,
        pixels=pixels,
        position=_position(group("PlanePositionSequence")),
        orientation=vector(group("PlaneOrientationSequence"), "ImageOrientationPatient", 6),
        pixel_spacing=_pixel_spacing(group("PixelMeasuresSequence")),
        slope=slope,
        intercept=intercept,
        group=(
            str(content.get("StackID") or "") if content else "",
            str(content.get("TemporalPositionIndex") or "") if content else "",
            str(echo.get("EffectiveEchoTime") or "") if echo else "",
        ),
    )


def _dose(file: DicomFile, pixels: PixelFormat, count: int) -> list[Frame]:
    """The planes of an RT dose, at the distances along z or the normal that its grid gives (PS3.3 C.8.8.3.2)."""
    offsets = np.array(numbers(file.header, "GridFrameOffsetVector") or (0.0,))
    if len(offsets) != count:
        raise VolumeError(f"GridFrameOffsetVector has {len(offsets)} values for {count} frames; export the dose anew")
    scaling = numbers(file.header, "DoseGridScaling")
    # A first value other than 0 says that they are patient coordinates along z.
    along_z = bool(offsets[0])
    return _planes(file, pixels, offsets - offsets[0], along_z=along_z, slope=scaling[0] if scaling else 1.0)


def _nuclear_medicine(file: DicomFile, pixels: PixelFormat, count: int) -> list[Frame]:
    """The slices of a reconstructed NM image, whose detector gives the first one's place (PS3.3 C.8.4.15)."""
    header = file.header
    detector, step = first_item(header, "DetectorInformationSequence"), numbers(header, "SpacingBetweenSlices")
    pointer = header.get("FrameIncrementPointer")
    pointers = list(pointer) if isinstance(pointer, MultiValue) else [pointer]
    if pointers != [_SLICE_VECTOR] or not step or detector is None:
        return _planes(file, pixels, None)
    if numbers(header, "SliceVector") not in ((), tuple(range(1, count + 1))):
        raise VolumeError("its frames are not one slice each, in order (SliceVector); export the slices of one volume")
    slope, intercept = _rescale(header)
    return _planes(
        file, pixels, np.arange(count, dtype=np.float64) * step[0], place=detector, slope=slope, intercept=intercept
    )


def _planes(
    file: DicomFile,
    pixels: PixelFormat,
    offsets: Points | None,
    *,
    place: Dataset | None = None,
    along_z: bool = False,
    slope: float = 1.0,
    intercept: float = 0.0,
) -> list[Frame]:
    """The frames of a file without functional groups.

    Args:
        file: File of several frames.
        pixels: Format of its pixel data.
        offsets: Millimetres from the first frame to each; None when the header does not say where they lie.
        place: Position of the first frame and orientation of all; None for those of the header itself.
        along_z: Whether the offsets run along the patient's z instead of along the normal.
        slope: Rescale slope.
        intercept: Rescale intercept.
    """
    place = file.header if place is None else place
    orientation, first = vector(place, "ImageOrientationPatient", 6), _position(place)
    positions: list[Vector | None] = [None] * file.frame_count
    if offsets is not None and orientation and first:
        axis = np.array([0.0, 0.0, 1.0]) if along_z else np.cross(orientation[:3], orientation[3:])
        positions = [(x, y, z) for x, y, z in (np.array(first) + offsets[:, None] * axis).tolist()]
    return [
        Frame(
            file=file.header,
            index=index,
            name=f"frame {index + 1}",
            number=index + 1,
            pixels=pixels,
            position=position,
            orientation=orientation,
            pixel_spacing=_pixel_spacing(file.header),
            slope=slope,
            intercept=intercept,
        )
        for index, position in enumerate(positions)
    ]
