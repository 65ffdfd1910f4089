"""The headers of NRRD and MetaImage files: their units, and what they lack."""

from __future__ import annotations

import math
import re
from pathlib import Path

from sixpoint.errors import VolumeError

__all__ = ["check_metaimage", "check_nrrd"]

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
_NO_PLACE = "positions in mm (lps, ras) have no meaning, voxel indices have"


def check_nrrd(source: Path) -> tuple[float, tuple[str, ...]]:
    """Check the header of a NRRD file.

    Returns:
        Millimetres per unit of length, and notes about the image for a person.

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
    _check_dimension(dimension, size, source)
    _check_data_file(source, fields.get("datafile", ""))
    notes: tuple[str, ...] = ()
    if "spacedirections" in fields:
        unit = _common_unit(fields.get("spaceunits", ""), "space units", source)
        if space not in _PATIENT_SPACES:
            notes += (f"{source}: its header does not say how its axes lie in the patient: {_NO_PLACE}",)
        elif "spaceorigin" not in fields:
            notes += (f"{source}: its header gives no position in the patient (space origin): {_NO_PLACE}",)
    elif "spacings" in fields:
        unit = _common_unit(fields.get("units", ""), "units", source)
        _check_spacing(fields["spacings"], "spacings", source)
        notes += (f"{source}: its header gives no position in the patient (space directions): {_NO_PLACE}",)
    else:
        raise VolumeError(
            f"{source}: its header gives no spacing of the voxels, expected space directions, or spacings; add it"
        )
    return unit, notes


def check_metaimage(source: Path) -> tuple[float, tuple[str, ...]]:
    """Check the header of a MetaImage file.

    Returns:
        Millimetres per unit of length, and notes about the image for a person.

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
    _check_dimension(fields["ndims"], fields.get("dimsize", "").split(), source)
    channels = fields.get("elementnumberofchannels", "1")
    if channels != "1":
        raise VolumeError(
            f"{source}: expected one number per voxel, got {channels}; split the image into its components"
        )
    if "elementspacing" not in fields:
        raise VolumeError(f"{source}: its header gives no spacing of the voxels, expected ElementSpacing; add it")
    _check_spacing(fields["elementspacing"], "ElementSpacing", source)
    name = fields["elementdatafile"]
    _check_data_file(source, "" if name.lower() == "local" else name)
    notes: tuple[str, ...] = ()
    if not {"offset", "position", "origin"} & fields.keys():
        notes += (f"{source}: its header gives no position in the patient (Offset): {_NO_PLACE}",)
    return _common_unit(fields.get("distanceunits", ""), "DistanceUnits", source), notes


def _header(source: Path, *, end: str) -> str:
    """Text of a header, up to the end that ``end`` matches."""
    with source.open("rb") as file:
        text = file.read(_HEADER_BYTES).decode("utf-8", "replace")
    match = re.search(end, text)
    return text[: match.end()] if match else text


def _check_dimension(dimension: str, size: list[str], source: Path) -> None:
    """Refuse an image that is not 3D; a fourth axis of one voxel is none."""
    if dimension != "3" and not (dimension == "4" and size[3:] == ["1"]):
        raise VolumeError(f"{source}: expected a 3D image, got a {dimension}D one of size ({', '.join(size)})")


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


def _check_data_file(source: Path, name: str) -> None:
    """Refuse a header whose voxels are in a file that is missing."""
    if name and not name.startswith("LIST") and "%" not in name and not (source.parent / name).is_file():
        raise VolumeError(
            f"{source} cannot be read as an image: its voxels are in {name}, which is missing; put the two files into "
            "one folder"
        )
