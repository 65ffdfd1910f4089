"""Read MetaImage: the header is checked here, voxels are read by NumPy, and ITK says what the numbers of place mean.

ITK's own reader prints to stderr what it dislikes, ignores names in another case, and takes 1 mm for a spacing that the
header lacks.
"""

from __future__ import annotations

import math
import re
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from sixpoint._typing import Array, Vector
from sixpoint.errors import VolumeError
from sixpoint.geometry import Geometry
from sixpoint.io.metaimage_voxels import VOXEL_TYPES, MetaImageData, read_voxels
from sixpoint.io.notes import NO_PLACE
from sixpoint.io.text_headers import (
    NUMBER,
    common_unit,
    count_voxels,
    names_unit,
    read_header,
    typed_where_lacking,
)

if TYPE_CHECKING:
    import SimpleITK as sitk

__all__ = ["read_metaimage"]

# Names of one field, of which a header should have one.
_OFFSETS = ("offset", "position", "origin")
_MATRICES = ("transformmatrix", "rotation", "orientation")
_END = r"(?mi)^[ \t]*ElementDataFile[ \t]*[=:].*$"
_SCALING = {"elementtointensityfunctionslope": 1.0, "elementtointensityfunctionoffset": 0.0}
_BYTE_ORDERS = ("binarydatabyteordermsb", "elementbyteordermsb")
# All fields that are read. Others may be anything: ITK writes tags of DICOM, with texts of several lines.
_FIELDS = (
    *("objecttype", "ndims", "dimsize", "elementspacing", "distanceunits", *_OFFSETS, *_MATRICES),
    *("elementtype", "elementnumberofchannels", "binarydata", "compresseddata", "headersize", "elementdatafile"),
    *(*_BYTE_ORDERS, *_SCALING),
)
_FIELD = re.compile(rf"(?mi)^[ \t]*({'|'.join(_FIELDS)})(?=[\s=:]|\Z)[ \t]*([=:]?)[ \t]*(.*?)[ \t]*\r?$")


def read_metaimage(
    source: Path, *, spacing: Vector | None = None
) -> tuple[tuple[Array, Geometry], tuple[str, ...], bool]:
    """Read a ``.mha`` or ``.mhd`` file.

    Args:
        source: File to read.
        spacing: Spacing (x, y, z) in mm from a person, for a header that lacks it.

    Returns:
        Voxels [z, y, x] and geometry; notes about them for a person; and whether the header names its unit of length.

    Raises:
        VolumeError: The file is no MetaImage file of a 3D image, is truncated, its header lacks or contradicts what
            places the image, or contradicts ``spacing``.
        OSError: A file cannot be read.
        EOFError: The compressed voxels are truncated.
        zlib.error: The compressed voxels are damaged.
    """
    fields = _fields(source)
    size = fields["dimsize"].split()
    count_voxels(fields["ndims"], size, source)
    unit = common_unit(fields.get("distanceunits", ""), "DistanceUnits", source)
    stated = fields.get("elementspacing", "")
    typed = typed_where_lacking(stated, "ElementSpacing", unit, spacing, source)
    offset = _numbers(fields, _OFFSETS, len(size), source)
    matrix = _numbers(fields, _MATRICES, len(size) ** 2, source)
    # A fourth axis has one voxel.
    matrix = [matrix[row * len(size) + column] for row in range(3) for column in range(3)] if matrix else []
    data = _data(fields, source)
    array = read_voxels(data, source)
    place = _read_place(size[:3], ["1"] * 3 if typed else stated.split()[:3], offset[:3], matrix)
    dx, dy, dz = typed or [value * unit for value in place.GetSpacing()]
    x, y, z = (value * unit for value in place.GetOrigin())
    try:
        geometry = Geometry(data.size, (dx, dy, dz), (x, y, z), place.GetDirection())
    except VolumeError as error:
        raise VolumeError(f"{source}: {error.message}") from error
    notes = () if offset else (f"{source}: its header gives no position in the patient (Offset): {NO_PLACE}",)
    return (array, geometry), notes, names_unit(fields.get("distanceunits", ""))


def _fields(source: Path) -> dict[str, str]:
    """The fields of a header, by their names in lower case."""
    text = read_header(source, end=_END)
    fields: dict[str, str] = {}
    for match in _FIELD.finditer(text):
        name, value = match[1].lower(), match[3]
        if not match[2]:
            raise VolumeError(f"{source}: its header gives {match[1]} without an equals sign; put one behind the name")
        if fields.get(name, value) != value:
            raise VolumeError(f"{source}: its header gives {match[1]} twice, {fields[name]} and {value}; remove one")
        fields[name] = value
    if "elementdatafile" not in fields or "ndims" not in fields:
        raise VolumeError(
            f"{source} cannot be read as an image: its name says MetaImage, but its header is that of another "
            "format or damaged; copy or download it again, or rename it"
        )
    if fields.get("objecttype", "image").lower() != "image":
        raise VolumeError(f"{source} holds a MetaIO object of type {fields['objecttype']}, expected an image")
    fields.setdefault("dimsize", "")
    return fields


def _numbers(fields: dict[str, str], names: tuple[str, ...], count: int, source: Path) -> list[str]:
    """The numbers of a field that has several names; none where the header lacks it."""
    given = [(name, fields[name].split()) for name in names if name in fields]
    if not given:
        return []
    name, numbers = given[0]
    if len(numbers) != count or not all(map(NUMBER.fullmatch, numbers)):
        raise VolumeError(
            f"{source}: its header gives {' '.join(numbers) or 'nothing'} as {name}, expected {count} numbers; write "
            "the file again with the program that made it"
        )
    for other, values in given[1:]:
        if values != numbers:
            raise VolumeError(f"{source}: its header gives two positions, by {name} and {other}; remove one")
    return numbers


def _data(fields: dict[str, str], source: Path) -> MetaImageData:
    """Where and how the voxels are stored."""
    channels = fields.get("elementnumberofchannels", "1")
    if channels != "1":
        raise VolumeError(
            f"{source}: expected one number per voxel, got {channels}; split the image into its components"
        )
    for name, neutral in _SCALING.items():
        if name in fields and not _is_number(fields[name], neutral):
            raise VolumeError(
                f"{source}: its header scales the voxels by {name} {fields[name]}, expected {neutral:g}; write the "
                "values themselves with the program that made it"
            )
    kind = fields.get("elementtype", "")
    if kind not in VOXEL_TYPES:
        raise VolumeError(
            f"{source}: its header gives voxels of type {kind or 'nothing'} (ElementType), expected one of "
            f"{', '.join(VOXEL_TYPES)}"
        )
    skipped = fields.get("headersize", "0")
    if not re.fullmatch(r"-1|\d{1,15}", skipped):
        raise VolumeError(f"{source}: its header gives {skipped} as HeaderSize, expected a number of bytes, or -1")
    big_endian = {_is_true(fields[name]) for name in _BYTE_ORDERS if name in fields}
    if len(big_endian) > 1:
        raise VolumeError(
            f"{source}: its header gives two byte orders (BinaryDataByteOrderMSB and ElementByteOrderMSB); remove one"
        )
    sizes = [int(number) for number in fields["dimsize"].split()[:3]]
    compressed = _is_true(fields.get("compresseddata", ""))
    if compressed and skipped == "-1":
        raise VolumeError(f"{source}: its header gives -1 as HeaderSize of compressed voxels, expected their place")
    return MetaImageData(
        name=fields["elementdatafile"],
        size=(sizes[0], sizes[1], sizes[2]),
        dtype=VOXEL_TYPES[kind].newbyteorder(">" if True in big_endian else "<"),
        binary=_is_true(fields.get("binarydata", "True")),
        compressed=compressed,
        skipped=int(skipped),
    )


def _is_true(text: str) -> bool:
    # As MetaIO reads truth values.
    return text[:1] in ("T", "t", "1")


def _is_number(text: str, expected: float) -> bool:
    try:
        return math.isclose(float(text), expected)
    except ValueError:
        return False


def _read_place(size: list[str], spacing: list[str], offset: list[str], matrix: list[str]) -> sitk.ImageFileReader:
    """ITK's reading of these numbers, which are checked; an image's digest covers each bit of it."""
    import SimpleITK as sitk

    lines = ["ObjectType = Image", "NDims = 3"]
    for name, numbers in (("TransformMatrix", matrix), ("Offset", offset), ("ElementSpacing", spacing)):
        if numbers:
            lines.append(f"{name} = {' '.join(numbers)}")
    lines += [f"DimSize = {' '.join(size)}", "ElementType = MET_UCHAR", "ElementDataFile = LOCAL", ""]
    with tempfile.TemporaryDirectory(prefix="sixpoint-") as folder:
        path = Path(folder) / "image.mha"
        path.write_text("\n".join(lines), encoding="ascii")
        reader = sitk.ImageFileReader()
        reader.SetFileName(str(path))
        reader.ReadImageInformation()
        return reader
