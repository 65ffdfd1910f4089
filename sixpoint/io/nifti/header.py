"""The header of a NIfTI-1 file: what it must say before its voxels can be placed."""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass, replace
from pathlib import Path

from sixpoint._typing import Vector
from sixpoint.errors import VolumeError
from sixpoint.io.notes import NO_PLACE
from sixpoint.io.spacing import SPACING_HINT, check_typed_spacing, fill_spacing, is_spacing

__all__ = ["HEADER_BYTES", "NiftiHeader", "NiftiPlacement", "parse_header"]

HEADER_BYTES = 352
"""Size of a header with the four bytes that announce its extensions; voxels of a single file start there or later."""

_SIZE, _SIZE_OF_NIFTI_2 = 348, 540
_PAIR_MAGIC, _MAGIC = b"ni1\0", b"n+1\0"
# Offsets of fields in the header, in bytes.
_DIM, _INTENT, _DATATYPE, _PIXDIM, _VOX_OFFSET = 40, 68, 70, 76, 108
_SCALING, _UNITS, _CODES, _QUATERNION, _SFORM, _MAGIC_OFFSET = 112, 123, 252, 256, 280, 344
_DATATYPES = {2, 4, 8, 16, 64, 256, 512, 768, 1024, 1280}
"""Codes of the voxel types with one integer or floating-point number of at most 64 bits."""
_OTHER_DATATYPES = {
    1: "one bit",
    32: "2, a complex number",
    128: "3, a colour",
    1536: "one of 128 bits",
    1792: "2, a complex number",
    2048: "2, a complex number",
    2304: "4, a colour",
}
_MILLIMETRES = {0: 1.0, 1: 1000.0, 2: 1.0, 3: 0.001}
"""Millimetres per unit, by the code of the unit of length."""
# A unit quaternion in float32, rounded to six digits by some programs, exceeds 1 by a few millionths.
_QUATERNION_TOLERANCE = 1e-4

_NO_PLACE = f"its header gives no position in the patient (qform_code and sform_code are 0): {NO_PLACE}"


@dataclass(frozen=True)
class NiftiPlacement:
    """The fields of a NIfTI header that place the voxels, as they are stored: a mask of the image gets the same.

    Attributes:
        grid: Geometry that was read from these fields, as :meth:`sixpoint.geometry.Geometry.packed` packs it.
        qform_code: Code of the qform; 0: there is none.
        sform_code: Code of the sform; 0: there is none.
        qfac: Sign of the qform's third axis.
        pixdim: Spacing along (x, y, z) in the header's unit.
        quaternion: Quaternion (b, c, d) of the qform.
        qoffset: Offset (x, y, z) of the qform, RAS.
        sform: Rows x, y and z of the sform, RAS, four numbers each.
        units: Codes of the units of length and time.
    """

    grid: bytes
    qform_code: int
    sform_code: int
    qfac: float
    pixdim: Vector
    quaternion: Vector
    qoffset: Vector
    sform: tuple[float, ...]
    units: int


@dataclass(frozen=True)
class NiftiHeader:
    """A header that was checked.

    Attributes:
        placement: Fields that place the voxels; their ``grid`` is empty.
        order: Byte order, ``<`` or ``>``.
        size: Voxels along (x, y, z).
        vox_offset: Bytes before the first voxel.
        scaling: Slope and intercept of the stored numbers; None where the stored numbers are the values.
        unit_mm: Millimetres per unit of length.
        notes: What a person should know about the image, one sentence each.
        content: First bytes of the file, with which ITK understands the header as it was checked: three axes, and
            no slope or spacing that means none.
    """

    placement: NiftiPlacement
    order: str
    size: tuple[int, int, int]
    vox_offset: int
    scaling: tuple[float, float] | None
    unit_mm: float
    notes: tuple[str, ...]
    content: bytes

    @property
    def names_unit(self) -> bool:
        """Whether it names its unit of length."""
        return bool(self.placement.units & 7)

    def with_sform(self, sform: tuple[float, ...]) -> NiftiHeader:
        """The same header with another sform, for ITK; the placement keeps its own."""
        content = bytearray(self.content)
        struct.pack_into(f"{self.order}12f", content, _SFORM, *sform)
        return replace(self, content=bytes(content))


def parse_header(head: bytes, source: Path, *, spacing: Vector | None = None) -> NiftiHeader:
    """Parse and check the first bytes of a NIfTI file.

    Args:
        head: First bytes of the file, at least those of its header.
        source: File that the errors name.
        spacing: Spacing (x, y, z) in mm from a person, for a header that lacks it.

    Raises:
        VolumeError: The header is not that of one NIfTI-1 file with a 3D image, its voxels cannot be placed or scaled,
            or it contradicts ``spacing``.
    """
    order = _byte_order(head, source)

    def field(form: str, offset: int) -> tuple[float, ...]:
        return struct.unpack_from(order + form, head, offset)

    size = _size(tuple(int(value) for value in field("8h", _DIM)), source)
    _check_datatype(int(field("h", _DATATYPE)[0]), source)
    (vox_offset,) = field("f", _VOX_OFFSET)
    if not (math.isfinite(vox_offset) and vox_offset >= HEADER_BYTES and vox_offset == int(vox_offset)):
        raise VolumeError(
            f"{source}: its header puts the first voxel at byte {vox_offset:g} (vox_offset), expected a whole number "
            f"from {HEADER_BYTES} on; write the file again with the program that made it"
        )
    scaling = _scaling(field("2f", _SCALING), source)
    placement = _with_spacing(_placement(head, order), spacing, source)
    _check_placement(placement, source)
    notes: tuple[str, ...] = ()
    if not (placement.qform_code or placement.sform_code):
        notes += (f"{source}: {_NO_PLACE}",)
    content = bytearray(head.ljust(HEADER_BYTES, b"\0"))
    struct.pack_into(f"{order}8h", content, _DIM, 3, *size, 1, 1, 1, 1)
    struct.pack_into(f"{order}h", content, _INTENT, 0)
    struct.pack_into(f"{order}3f", content, _PIXDIM + 4, *placement.pixdim)
    struct.pack_into(f"{order}2f", content, _SCALING, *(scaling or (1.0, 0.0)))
    return NiftiHeader(
        placement=placement,
        order=order,
        size=size,
        vox_offset=int(vox_offset),
        scaling=scaling,
        unit_mm=_MILLIMETRES[placement.units & 7],
        notes=notes,
        content=bytes(content),
    )


def _byte_order(head: bytes, source: Path) -> str:
    """Byte order of a header of NIfTI-1 in one file with its voxels."""
    if len(head) < _SIZE:
        raise VolumeError(
            f"{source} is truncated: a NIfTI header has {_SIZE} bytes, the file {len(head)}; copy or download it again"
        )
    sizes = {order: struct.unpack_from(f"{order}i", head)[0] for order in "<>"}
    if _SIZE_OF_NIFTI_2 in sizes.values():
        raise VolumeError(
            f"{source} is a NIfTI-2 file, expected NIfTI-1; convert it, e.g. with nibabel: "
            "Nifti1Image.from_image(nibabel.load(FILE)).to_filename(NEW)"
        )
    order = next((order for order, size in sizes.items() if size == _SIZE), None)
    magic = head[_MAGIC_OFFSET : _MAGIC_OFFSET + 4]
    if order is None or magic not in (_MAGIC, _PAIR_MAGIC):
        raise VolumeError(
            f"{source} cannot be read as an image: its name says NIfTI-1, but its header is that of another format or "
            "damaged; copy or download it again, or rename it"
        )
    if magic == _PAIR_MAGIC:
        raise VolumeError(
            f"{source} holds only the header of an image whose voxels are in an .img file; convert the pair to one .nii"
        )
    return order


def _size(dim: tuple[int, ...], source: Path) -> tuple[int, int, int]:
    """Voxels along (x, y, z) of a header's ``dim``."""
    count = dim[0]
    if not 1 <= count <= 7 or min(dim[1 : count + 1]) < 1:
        raise VolumeError(f"{source}: its header is damaged: it announces {count} axes of {dim[1:]} voxels")
    extent = dim[1 : count + 1]
    if count >= 5 and max(extent[4:]) > 1:
        raise VolumeError(
            f"{source}: expected one number per voxel, got {math.prod(extent[4:])}; split the image into its components"
        )
    if count < 3 or (count > 3 and extent[3] > 1):
        what = "" if count < 4 else ("; take one point in time" if extent[2] > 1 else "; it is a 2D image over time")
        raise VolumeError(f"{source}: expected a 3D image, got a {min(count, 4)}D one of size {extent[:4]}{what}")
    return extent[0], extent[1], extent[2]


def _check_datatype(code: int, source: Path) -> None:
    if code not in _DATATYPES:
        what = _OTHER_DATATYPES.get(code, f"the unknown type {code}")
        raise VolumeError(
            f"{source}: expected one number per voxel, got {what}; split or convert the image to integers or floats of "
            "at most 64 bits"
        )


def _scaling(numbers: tuple[float, ...], source: Path) -> tuple[float, float] | None:
    """Slope and intercept; None where the slope is 0 (nifti1.h), or NaN, as programs write it for the same."""
    slope, intercept = numbers
    if slope == 0 or math.isnan(slope):
        return None
    if not (math.isfinite(slope) and math.isfinite(intercept)):
        raise VolumeError(
            f"{source}: its header scales the voxels by a slope of {slope:g} and an intercept of {intercept:g}, "
            "expected finite numbers; write the file again with the program that made it"
        )
    return slope, intercept


def _placement(head: bytes, order: str) -> NiftiPlacement:
    qform_code, sform_code = struct.unpack_from(f"{order}2h", head, _CODES)
    qfac, *pixdim = struct.unpack_from(f"{order}4f", head, _PIXDIM)
    b, c, d, *qoffset = struct.unpack_from(f"{order}6f", head, _QUATERNION)
    return NiftiPlacement(
        grid=b"",
        qform_code=qform_code,
        sform_code=sform_code,
        qfac=qfac,
        pixdim=(pixdim[0], pixdim[1], pixdim[2]),
        quaternion=(b, c, d),
        qoffset=(qoffset[0], qoffset[1], qoffset[2]),
        sform=struct.unpack_from(f"{order}12f", head, _SFORM),
        units=head[_UNITS],
    )


def _refuse(field: str, value: object, expected: str, source: Path, *, remedy: str = "") -> VolumeError:
    return VolumeError(
        f"{source}: its header gives {field} {value}, expected {expected}; {remedy}repair the header, e.g. with "
        "nibabel from the image that it was made from"
    )


def _with_spacing(placement: NiftiPlacement, spacing: Vector | None, source: Path) -> NiftiPlacement:
    """The same fields with a spacing: the header's, or that of a person where the header lacks it.

    Raises:
        VolumeError: The header lacks a spacing and nobody gave it, or it contradicts the given one.
    """
    if placement.units & 7 not in _MILLIMETRES:
        raise _refuse("the unit of length (xyzt_units)", placement.units & 7, "1 (m), 2 (mm) or 3 (um)", source)
    unit = _MILLIMETRES[placement.units & 7]
    if all(map(is_spacing, placement.pixdim)):
        check_typed_spacing([value * unit for value in placement.pixdim], spacing, source)
        return placement
    if spacing is None:
        listed = _listed(placement.pixdim)
        raise _refuse("the spacing (pixdim)", listed, "numbers above 0", source, remedy=f"{SPACING_HINT}, or ")
    x, y, z = fill_spacing([value * unit for value in placement.pixdim], spacing, source)
    if placement.sform_code > 0:
        columns = zip(*(placement.sform[row : row + 3] for row in (0, 4, 8)), strict=True)
        check_typed_spacing([math.hypot(*column) * unit for column in columns], spacing, source)
    return replace(placement, pixdim=(x / unit, y / unit, z / unit))


def _check_placement(placement: NiftiPlacement, source: Path) -> None:
    """Refuse fields from which the voxels' positions could only be guessed.

    Raises:
        VolumeError: A field is damaged; the message names it and its value.
    """
    if min(placement.qform_code, placement.sform_code) < 0:
        codes = f"{placement.qform_code} and {placement.sform_code}"
        raise _refuse("the codes of qform and sform", codes, "numbers from 0 on", source)
    if placement.sform_code:
        if not all(map(math.isfinite, placement.sform)):
            raise _refuse("the sform", _listed(placement.sform), "finite numbers", source)
    elif placement.qform_code:
        norm = sum(value * value for value in placement.quaternion)
        # NaN is refused, too.
        if not norm <= 1 + _QUATERNION_TOLERANCE:
            raise _refuse("the quaternion", _listed(placement.quaternion), "a rotation", source)
        if not all(map(math.isfinite, placement.qoffset)):
            raise _refuse("the position (qoffset)", _listed(placement.qoffset), "finite numbers", source)
        if placement.qfac not in (-1.0, 0.0, 1.0):
            raise _refuse("the third axis' sign (pixdim[0])", f"{placement.qfac:g}", "1 or -1", source)


def _listed(values: tuple[float, ...]) -> str:
    return ", ".join(f"{value:g}" for value in values)
