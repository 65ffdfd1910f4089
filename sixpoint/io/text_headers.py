"""The headers of NRRD and MetaImage files: their units, and what they lack."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from pathlib import Path

from sixpoint.errors import VolumeError
from sixpoint.io.notes import NO_PLACE

__all__ = ["TextHeader", "check_metaimage", "check_nrrd"]

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
_PATIENT_SPACES = ("left-posterior-superior", "right-anterior-superior", "left-anterior-superior", "lps", "ras", "las")


@dataclass(frozen=True)
class TextHeader:
    """A header that was checked.

    Attributes:
        unit_mm: Millimetres per unit of length.
        voxel_count: Number of voxels that it announces.
        data: File with the voxels; None where there are several.
        notes: What a person should know about the image, one sentence each.
    """

    unit_mm: float
    voxel_count: int
    data: Path | None
    notes: tuple[str, ...]


def check_nrrd(source: Path) -> TextHeader:
    """Check the header of a NRRD file.

    Raises:
        VolumeError: The file is no NRRD file; an axis is not one of space; or spacing or unit are missing or unknown.
    """
    text = _header(source, end=r"\r?\n\r?\n")
    if not text.startswith("NRRD"):
        raise VolumeError(
            f"{source} cannot be read as an image: its name says NRRD, but it does not begin with NRRD; rename it"
        )
    fields = {
        match[1].strip().lower().replace(" ", ""): match[2].strip()
        for match in re.finditer(r"(?m)^([^#:=\r\n]+):(?!=)[ \t]*(.*?)\r?$", text)
    }
    dimension, size = fields.get("dimension", "?"), fields.get("sizes", "").split()
    space = fields.get("space", "").strip('"').lower()
    kinds = [kind.strip('"').lower() for kind in fields.get("kinds", "").split()]
    if any(kind == "time" and n != "1" for n, kind in zip(size, kinds, strict=False)) or space.endswith("-time"):
        raise VolumeError(f"{source}: one of its axes is time, expected a 3D image; take one point in time")
    components = [int(n) for n, kind in zip(size, kinds, strict=False) if kind not in _SPATIAL_KINDS and n.isdigit()]
    if components:
        raise VolumeError(
            f"{source}: expected one number per voxel, got {math.prod(components)}; split the image into its components"
        )
    voxel_count = _count_voxels(dimension, size, source)
    data = _data_file(source, fields.get("datafile", ""))
    notes: tuple[str, ...] = ()
    if "spacedirections" in fields:
        unit = _common_unit(fields.get("spaceunits", ""), "space units", source)
        if space not in _PATIENT_SPACES:
            notes += (f"{source}: its header does not say how its axes lie in the patient: {NO_PLACE}",)
        elif "spaceorigin" not in fields:
            notes += (f"{source}: its header gives no position in the patient (space origin): {NO_PLACE}",)
    elif "spacings" in fields:
        unit = _common_unit(fields.get("units", ""), "units", source)
        _check_spacing(fields["spacings"], "spacings", source)
        notes += (f"{source}: its header gives no position in the patient (space directions): {NO_PLACE}",)
    else:
        raise VolumeError(
            f"{source}: its header gives no spacing of the voxels, expected space directions, or spacings; add it"
        )
    return TextHeader(unit, voxel_count, data, notes)


def check_metaimage(source: Path) -> TextHeader:
    """Check the header of a MetaImage file.

    Raises:
        VolumeError: The file is no MetaImage file of a 3D image, or spacing or unit are missing or unknown.
    """
    text = _header(source, end=r"(?m)^[ \t]*ElementDataFile[ \t]*=.*$")
    fields = {
        match[1].lower(): match[2] for match in re.finditer(r"(?m)^[ \t]*(\w+)[ \t]*=[ \t]*(.*?)[ \t]*\r?$", text)
    }
    if "elementdatafile" not in fields or "ndims" not in fields:
        raise VolumeError(
            f"{source} cannot be read as an image: its name says MetaImage, but its header is that of another "
            "format or damaged; copy or download it again, or rename it"
        )
    voxel_count = _count_voxels(fields["ndims"], fields.get("dimsize", "").split(), source)
    channels = fields.get("elementnumberofchannels", "1")
    if channels != "1":
        raise VolumeError(
            f"{source}: expected one number per voxel, got {channels}; split the image into its components"
        )
    if "elementspacing" not in fields:
        raise VolumeError(f"{source}: its header gives no spacing of the voxels, expected ElementSpacing; add it")
    _check_spacing(fields["elementspacing"], "ElementSpacing", source)
    name = fields["elementdatafile"]
    data = _data_file(source, "" if name.lower() == "local" else name)
    notes: tuple[str, ...] = ()
    if not {"offset", "position", "origin"} & fields.keys():
        notes += (f"{source}: its header gives no position in the patient (Offset): {NO_PLACE}",)
    unit = _common_unit(fields.get("distanceunits", ""), "DistanceUnits", source)
    return TextHeader(unit, voxel_count, data, notes)


def _header(source: Path, *, end: str) -> str:
    """Text of a header, up to the end that ``end`` matches."""
    with source.open("rb") as file:
        text = file.read(_HEADER_BYTES).decode("utf-8", "replace")
    match = re.search(end, text)
    return text[: match.end()] if match else text


def _count_voxels(dimension: str, size: list[str], source: Path) -> int:
    """Number of voxels; refuses an image that is not 3D. A fourth axis of one voxel is none."""
    if dimension != "3" and not (dimension == "4" and size[3:] == ["1"]):
        raise VolumeError(f"{source}: expected a 3D image, got a {dimension}D one of size ({', '.join(size)})")
    if len(size) != int(dimension) or not all(re.fullmatch("[0-9]{1,9}", n) and int(n) for n in size):
        raise VolumeError(f"{source}: its header is damaged: it gives the size {' '.join(size)}")
    return math.prod(map(int, size))


def _check_spacing(text: str, name: str, source: Path) -> None:
    """Refuse a spacing that is not three numbers above 0."""
    try:
        numbers = [float(value) for value in text.split()]
    except ValueError:
        numbers = []
    # The spacing of a fourth axis may be anything.
    numbers = numbers[:3]
    if len(numbers) != 3 or not all(math.isfinite(number) and number > 0 for number in numbers):
        raise VolumeError(f"{source}: its header gives the spacing {text} ({name}), expected three numbers above 0")


def _common_unit(text: str, name: str, source: Path) -> float:
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
            f"{source} cannot be read as an image: its voxels are in {name!r}, which is missing; put both files into "
            "one folder"
        )
    return path
