"""Parse prompts from files (3D Slicer markups, JSON, CSV) and from the command line's notation."""

from __future__ import annotations

import csv
import json
import os
from pathlib import Path
from typing import Any

from sixpoint._typing import FrameName
from sixpoint.errors import PromptError, Violation
from sixpoint.errors.shortening import quoted, shorten
from sixpoint.prompts.frames import Frame
from sixpoint.prompts.prompts import Box, Click, ExtremePoints, Point

__all__ = ["parse_box", "parse_click", "parse_points", "read_points"]

# Slicer 4 wrote the coordinate system of .fcsv files as a number.
_SLICER_FRAMES = {"LPS": Frame.LPS, "RAS": Frame.RAS, "0": Frame.RAS, "1": Frame.LPS}
# Status of a placed control point in .fcsv files; 0 is undefined, 1 a preview, 3 missing.
_SLICER_DEFINED = "2"
_SLICER_STATES = ("0", "1", "2", "3")


def parse_points(text: str, *, frame: Frame) -> ExtremePoints:
    """Parse ``"x,y,z x,y,z ..."``, points separated by white space or semicolons.

    Raises:
        PromptError: A part is no point; the message names it.
    """
    return ExtremePoints(_points(text), frame)


def parse_box(text: str, *, frame: Frame) -> Box:
    """Parse two opposite corners, ``"x,y,z x,y,z"``.

    Raises:
        PromptError: There are not two corners, or a part is no point.
    """
    corners = _points(text)
    if len(corners) != 2:
        raise PromptError(
            f"a box: expected its two opposite corners x,y,z x,y,z, got {len(corners)}",
            violations=(Violation("box", "two points"),),
        )
    return Box(corners[0], corners[1], frame)


def parse_click(text: str, *, frame: Frame) -> Click:
    """Parse a click, ``"+x,y,z"`` (positive) or ``"-x,y,z"`` (negative); the sign precedes that of x.

    Raises:
        PromptError: The sign is missing, or the rest is no point.
    """
    sign, point = text.strip()[:1], text.strip()[1:]
    if sign not in {"+", "-"}:
        raise PromptError(
            f"{shorten(text)}: expected + (positive click) or - (negative click), followed by x,y,z",
            violations=(Violation("click", "+x,y,z or -x,y,z"),),
        )
    return Click(_point(point.split(","), text), sign == "+", frame)


def read_points(
    path: str | os.PathLike[str],
    *,
    frame: Frame | FrameName | None = None,
    default_frame: Frame | FrameName = Frame.VOXEL,
    list_name: str = "",
) -> ExtremePoints:
    """Read the extreme points in a file.

    * ``.mrk.json``: 3D Slicer markups, which name their frame (LPS or RAS); one list of control points.
    * ``.fcsv``: older 3D Slicer markups, which name their frame, too.
    * ``.json``: ``{"frame": "voxel", "points": [[x, y, z], ...]}``, or the bare list.
    * ``.csv``: one point per line, with or without the header ``x,y,z``.

    Args:
        path: Path of the file.
        frame: Frame that the file must have, if it names one, and the frame of a file that names none.
        default_frame: Frame of a file that names none, if ``frame`` is not given.
        list_name: Name, or number from 1, of the list to read from a ``.mrk.json`` file that holds several.

    Raises:
        PromptError: The file cannot be read, names another frame than ``frame``, or has several lists and none is
            chosen.
    """
    source = Path(path)
    name = source.name.lower()
    frame = Frame.parse(frame) if frame else None
    try:
        text = source.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise PromptError(f"cannot read points from {source}: {error}") from error
    if name.endswith(".mrk.json"):
        points, named = _markups(_json(text, source), source, list_name)
    elif name.endswith(".json"):
        points, named = _plain_json(_json(text, source), source)
    elif name.endswith(".fcsv"):
        points, named = _fcsv(text, source)
    elif name.endswith(".csv"):
        points, named = _csv(text), None
    else:
        raise PromptError(f"{source}: points are read from .mrk.json, .fcsv, .json and .csv files")
    if named and frame and named is not frame:
        raise PromptError(f"{source} gives its points in the frame {named.value}, expected {frame.value}")
    return ExtremePoints(points, named or frame or default_frame)


def _points(text: str) -> list[Point]:
    return [_point(part.split(","), part) for part in text.replace(";", " ").split()]


def _markups(data: Any, source: Path, list_name: str) -> tuple[list[Point], Frame | None]:
    try:
        markup = _choose_list(data["markups"], source, list_name)
        frame = _SLICER_FRAMES[str(markup.get("coordinateSystem", "LPS")).upper()]
        placed = _placed(markup)
    except (KeyError, IndexError, TypeError, AttributeError) as error:
        raise PromptError(f"{source} is not a 3D Slicer markups file: no {error}") from error
    if markup.get("coordinateUnits", "mm") != "mm":
        raise PromptError(f"{source}: coordinates must be in mm, not {markup['coordinateUnits']}")
    return [_point(point, source) for point in placed], frame


def _choose_list(lists: Any, source: Path, list_name: str) -> dict[str, Any]:
    """The list of control points to read; without a name, the only one that has placed points.

    Raises:
        PromptError: There is no such list, or several have points; the message names them.
    """
    names = [str(markup.get("name") or number) for number, markup in enumerate(lists, 1)]
    listed = ", ".join(
        f"{shorten(name)} ({len(_placed(markup))} points)" for name, markup in zip(names, lists, strict=True)
    )
    if list_name:
        chosen = [markup for name, markup in zip(names, lists, strict=True) if name == list_name]
        if not chosen and list_name.isdecimal() and 1 <= int(list_name) <= len(lists):
            chosen = [lists[int(list_name) - 1]]
        if len(chosen) != 1:
            raise PromptError(f"{source} has {len(chosen)} lists named {shorten(list_name)}, expected one of: {listed}")
    else:
        chosen = [markup for markup in lists if _placed(markup)] or [lists[0]]
        if len(chosen) > 1:
            raise PromptError(
                f"{source} has several lists of points, expected one: {listed}; choose one by its name or number, with "
                "--points-list, or list_name="
            )
    result: dict[str, Any] = chosen[0]
    return result


def _placed(markup: dict[str, Any]) -> list[Any]:
    """Positions of the control points that a person has placed."""
    return [
        point["position"] for point in markup["controlPoints"] if point.get("positionStatus", "defined") == "defined"
    ]


def _plain_json(data: Any, source: Path) -> tuple[list[Point], Frame | None]:
    if isinstance(data, dict):
        if "points" not in data:
            raise PromptError(f'{source}: expected {{"frame": ..., "points": [[x, y, z], ...]}}')
        named = Frame.parse(str(data["frame"])) if "frame" in data else None
        data = data["points"]
    else:
        named = None
    if not isinstance(data, list):
        raise PromptError(f"{source}: expected a list of points [x, y, z]")
    return [_point(point, source) for point in data], named


def _fcsv(text: str, source: Path) -> tuple[list[Point], Frame | None]:
    frame = Frame.RAS
    points = []
    for line in text.splitlines():
        if line.startswith("#"):
            key, _, value = line[1:].partition("=")
            if key.strip().lower() == "coordinatesystem":
                if value.strip().upper() not in _SLICER_FRAMES:
                    raise PromptError(
                        f"{source}: coordinate system {quoted(value.strip())} is not supported; use LPS or RAS"
                    )
                frame = _SLICER_FRAMES[value.strip().upper()]
        elif line.strip():
            # Columns: id, x, y, z, orientation (4), ..., associatedNodeID, and in newer files the position's status.
            cells = next(csv.reader([line]))
            # A decimal comma makes more columns.
            if not (len(cells) == 14 or (len(cells) == 16 and cells[14] in _SLICER_STATES)):
                raise PromptError(
                    f"{source}: expected rows of 14 or 16 columns, with decimal points, got {len(cells)}: {line}"
                )
            if cells[14:15] in ([], [_SLICER_DEFINED]):
                points.append(_point(cells[1:4], line))
    return points, frame


def _csv(text: str) -> list[Point]:
    rows = [row for row in csv.reader(text.splitlines()) if row and not row[0].lstrip().startswith("#")]
    if rows and [cell.strip().lower() for cell in rows[0]] == ["x", "y", "z"]:
        rows = rows[1:]
    return [_point(row, ",".join(row)) for row in rows]


def _json(text: str, source: Path) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise PromptError(f"{source} is not JSON: {error}") from error


def _point(values: Any, where: object) -> Point:
    try:
        x, y, z = (float(value) for value in values)
    except (TypeError, ValueError):
        raise PromptError(f"{where}: expected three numbers x,y,z") from None
    return x, y, z
