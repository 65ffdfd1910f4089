"""The headers of NRRD files, and what those of MetaImage have in common with them: units, and what they lack."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from pathlib import Path

from sixpoint._typing import Vector
from sixpoint.errors import VolumeError
from sixpoint.errors.shortening import quoted
from sixpoint.io.notes import NO_PLACE
from sixpoint.io.spacing import SPACING_HINT, check_typed_spacing, fill_spacing, is_spacing

__all__ = [
    "NUMBER",
    "NrrdHeader",
    "check_nrrd",
    "common_unit",
    "count_voxels",
    "names_unit",
    "read_header",
    "typed_where_lacking",
]

NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?")
"""A number in a header; none that is infinite or NaN."""

_HEADER_BYTES = 2**20
_MILLIMETRES = {
    "nm": 1e-6,
    "um": 1e-3,
    "µm": 1e-3,
    "μm": 1e-3,
    "micron": 1e-3,
    "microns": 1e-3,
    "micrometer": 1e-3,
    "micrometers": 1e-3,
    "micrometre": 1e-3,
    "mm": 1.0,
    "millimeter": 1.0,
    "millimeters": 1.0,
    "millimetre": 1.0,
    "millimetres": 1.0,
    "cm": 10.0,
    "centimeter": 10.0,
    "centimeters": 10.0,
    "dm": 100.0,
    "m": 1000.0,
    "meter": 1000.0,
    "meters": 1000.0,
    "metre": 1000.0,
    "in": 25.4,
    "inch": 25.4,
}
"""Millimetres per unit of length, by its name in lower case."""
_UNKNOWN_UNITS = ("", "?", "???")
# Kinds of a NRRD axis along which voxels lie; all others hold components.
_SPATIAL_KINDS = ("domain", "space", "time", "???", "none")
_KIND = re.compile(
    r"\?\?\?|none|domain|space|time|list|point|stub|scalar|complex|quaternion|[\w-]*(vector|normal|gradient|color|matrix)"
)
# Those that ITK is built with: bzip2 is not.
_ENCODINGS = ("raw", "gzip", "gz", "text", "txt", "ascii", "hex")
_PATIENT_SPACES = ("left-posterior-superior", "right-anterior-superior", "left-anterior-superior", "lps", "ras", "las")


@dataclass(frozen=True)
class NrrdHeader:
    """A header that was checked.

    Attributes:
        unit_mm: Millimetres per unit of length.
        voxel_count: Number of voxels that it announces.
        data: File with the voxels; None where there are several.
        names_unit: Whether it names its unit of length.
        typed_spacing: Spacing (x, y, z) in mm that a person gave, as far as the header lacks it; None if it does not.
        notes: What a person should know about the image, one sentence each.
    """

    unit_mm: float
    voxel_count: int
    data: Path | None
    names_unit: bool
    typed_spacing: Vector | None
    notes: tuple[str, ...]


def check_nrrd(source: Path, *, spacing: Vector | None = None) -> NrrdHeader:
    """Check the header of a NRRD file.

    Args:
        source: File to read.
        spacing: Spacing (x, y, z) in mm from a person, for a header that lacks it.

    Raises:
        VolumeError: The file is no NRRD file; an axis is not one of space; spacing or unit are missing or unknown; or
            the header's spacings contradict ``spacing``.
    """
    text = read_header(source, end=r"\r?\n\r?\n")
    if not text.startswith("NRRD"):
        raise VolumeError(
            f"{source} cannot be read as an image: its name says NRRD, but it does not begin with NRRD; rename it"
        )
    fields = {
        match[1].strip().lower().replace(" ", ""): match[2].strip()
        for match in re.finditer(r"(?m)^([^#:=\r\n]+):(?!=)[ \t]*(.*?)\r?$", text)
    }
    if "dimension" not in fields:
        raise VolumeError(f"{source}: its header is damaged: it gives no dimension; copy or download it again")
    dimension, size = fields["dimension"], fields.get("sizes", "").split()
    space = fields.get("space", "").strip('"').lower()
    kinds = [kind.strip('"').lower() for kind in fields.get("kinds", "").split()]
    if any(kind == "time" and n != "1" for n, kind in zip(size, kinds, strict=False)) or space.endswith("-time"):
        raise VolumeError(f"{source}: one of its axes is time, expected a 3D image; take one point in time")
    if unknown := next((kind for kind in kinds if not _KIND.fullmatch(kind)), None):
        raise VolumeError(
            f"{source}: its header is damaged: it gives an axis the kind {quoted(unknown)}, which is none"
        )
    components = [int(n) for n, kind in zip(size, kinds, strict=False) if kind not in _SPATIAL_KINDS and n.isdigit()]
    if components:
        raise VolumeError(
            f"{source}: expected one number per voxel, got {math.prod(components)}; split the image into its components"
        )
    voxel_count = count_voxels(dimension, size, source)
    if (encoding := fields.get("encoding", "raw")).lower() not in _ENCODINGS:
        raise VolumeError(
            f"{source}: its voxels are stored as {encoding} (encoding), expected one of {', '.join(_ENCODINGS)}; write "
            "them with gzip"
        )
    data = _data_file(source, fields.get("datafile", ""))
    notes: tuple[str, ...] = ()
    typed: Vector | None = None
    units = fields.get("spaceunits" if "spacedirections" in fields else "units", "")
    if "spacedirections" in fields:
        unit = common_unit(units, "space units", source)
        if space not in _PATIENT_SPACES:
            notes += (f"{source}: its header does not say how its axes lie in the patient: {NO_PLACE}",)
        elif "spaceorigin" not in fields:
            notes += (f"{source}: its header gives no position in the patient (space origin): {NO_PLACE}",)
    else:
        unit = common_unit(units, "units", source)
        typed = typed_where_lacking(fields.get("spacings", ""), "spacings", unit, spacing, source)
        notes += (f"{source}: its header gives no position in the patient (space directions): {NO_PLACE}",)
    return NrrdHeader(unit, voxel_count, data, names_unit(units), typed, notes)


def read_header(source: Path, *, end: str) -> str:
    """Text of a header, up to the end that ``end`` matches."""
    with source.open("rb") as file:
        text = file.read(_HEADER_BYTES).decode("utf-8", "replace")
    match = re.search(end, text)
    return text[: match.end()] if match else text


def count_voxels(dimension: str, size: list[str], source: Path) -> int:
    """Number of voxels; refuses an image that is not 3D. A fourth axis of one voxel is none."""
    if dimension != "3" and not (dimension == "4" and size[3:] == ["1"]):
        raise VolumeError(f"{source}: expected a 3D image, got a {dimension}D one of size ({', '.join(size)})")
    if len(size) != int(dimension) or not all(re.fullmatch("[0-9]{1,9}", n) and int(n) for n in size):
        raise VolumeError(f"{source}: its header is damaged: it gives the size {' '.join(size) or 'nothing'}")
    return math.prod(map(int, size))


def typed_where_lacking(text: str, name: str, unit_mm: float, typed: Vector | None, source: Path) -> Vector | None:
    """The spacing in mm where a header lacks one, wholly or along an axis, and a person gives it; None otherwise.

    Args:
        text: Spacing as the header writes it; empty where it does not. A fourth number may be anything.
        name: Name of the field, for errors.
        unit_mm: Millimetres per unit of length.
        typed: Spacing (x, y, z) in mm from the person.
        source: File that the errors name.

    Raises:
        VolumeError: The header lacks the spacing and nobody gave it, it contradicts the given one, or a number is
            negative.
    """
    words = text.split()[:3]
    stated = [float(word) * unit_mm if NUMBER.fullmatch(word) else math.nan for word in words]
    if len(stated) == 3 and all(map(is_spacing, stated)):
        check_typed_spacing(stated, typed, source)
        return None
    # To ITK a negative number mirrors the axis, to other programs it does not.
    mirrored = any(value < 0 for value in stated)
    if typed is None or mirrored:
        what = f"gives the spacing {' '.join(words)} ({name})" if words else f"gives no spacing of the voxels ({name})"
        remedy = "correct it" if mirrored else f"correct it, or {SPACING_HINT}"
        raise VolumeError(f"{source}: its header {what}, expected three numbers above 0; {remedy}")
    return fill_spacing(stated if len(stated) == 3 else (0.0, 0.0, 0.0), typed, source)


def names_unit(text: str) -> bool:
    """Whether a list of units names one."""
    return text.strip(' "?') != ""


def common_unit(text: str, name: str, source: Path) -> float:
    """Millimetres per unit of a list of quoted or plain names of units, which must agree."""
    names = [quoted or plain for quoted, plain in re.findall(r'"([^"]*)"|([^\s"]+)', text)] if text.strip() else []
    units = {unit.strip().lower() for unit in names} - set(_UNKNOWN_UNITS)
    factors = {_MILLIMETRES.get(unit) for unit in units} or {1.0}
    factor = next(iter(factors))
    if len(factors) > 1 or factor is None:
        raise VolumeError(
            f"{source}: its header gives lengths in {', '.join(sorted(units))} ({name}), expected one unit of length "
            "such as mm; convert it to mm"
        )
    return factor


def _data_file(source: Path, name: str) -> Path | None:
    """File with the voxels, ``source`` itself without a name; None where there are several.

    Raises:
        VolumeError: The file is missing.
    """
    if name.startswith("LIST") or "%" in name:
        return None
    path = source.parent / name if name else source
    if "\0" in name or not path.is_file():
        raise VolumeError(
            f"{source} cannot be read as an image: its voxels are in {quoted(name)}, which is missing; put both files "
            "into one folder"
        )
    return path
