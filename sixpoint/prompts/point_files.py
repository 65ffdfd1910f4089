"""Prompts as people write them: points in files (3D Slicer markups, JSON, CSV), and the command line's notation."""

from __future__ import annotations

import csv
import json
import os
from pathlib import Path
from typing import Any

from sixpoint.errors import PromptError, Violation
from sixpoint.prompts.prompts import Box, Click, ExtremePoints, Frame, Point

__all__ = ["parse_box", "parse_click", "parse_points", "read_points"]

# Slicer 4 wrote the coordinate system of its .fcsv files as a number.
_SLICER_FRAMES = {"LPS": Frame.LPS, "RAS": Frame.RAS, "0": Frame.RAS, "1": Frame.LPS}
# How its .fcsv files say that a control point was placed; 0 is undefined, 1 a preview, 3 missing.
_SLICER_DEFINED = "2"


def parse_points(text: str, *, frame: Frame) -> ExtremePoints:
    """Read ``"x,y,z x,y,z ..."``; the separator between points is white space or a semicolon.

    Raises:
        PromptError: Naming the part that is not a point.
    """
    return ExtremePoints(_points(text), frame)


def parse_box(text: str, *, frame: Frame) -> Box:
    """Read two opposite corners, ``"x,y,z x,y,z"``.

    Raises:
        PromptError: When they are not two, or naming the part that is not a point.
    """
    corners = _points(text)
    if len(corners) != 2:
        raise PromptError(
            f"a box: expected its two opposite corners x,y,z x,y,z, got {len(corners)}",
            violations=(Violation("box", "two points"),),
        )
    return Box(corners[0], corners[1], frame)


def parse_click(text: str, *, frame: Frame) -> Click:
    """Read ``"+x,y,z"`` (the object is there) or ``"-x,y,z"`` (it is not); the sign stands before the point's own.

    Raises:
        PromptError: When it has no sign, or is not a point.
    """
    sign, point = text.strip()[:1], text.strip()[1:]
    if sign not in {"+", "-"}:
        raise PromptError(
            f"{text}: a click begins with + (the object is there) or - (it is not), and then x,y,z",
            violations=(Violation("click", "+x,y,z or -x,y,z"),),
        )
    return Click(_point(point.split(","), text), sign == "+", frame)


def read_points(path: str | os.PathLike[str], *, frame: Frame | None = None) -> ExtremePoints:
    """Read the points in a file.

    * ``.mrk.json``: 3D Slicer markups, which name their own frame (LPS or RAS).
    * ``.fcsv``: 3D Slicer's older markups, which do so too.
    * ``.json``: ``{"frame": "voxel", "points": [[x, y, z], ...]}``, or the bare list.
    * ``.csv``: one point a line, with or without the header ``x,y,z``.

    Args:
        path: The file.
        frame: The frame of files that do not name one; voxel indices by default.

    Raises:
        PromptError: When the file cannot be read, or names another frame than ``frame``.
    """
    source = Path(path)
    name = source.name.lower()
    frame = Frame.parse(frame) if frame else None
    try:
        text = source.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise PromptError(f"cannot read points from {source}: {error}") from error
    if name.endswith(".mrk.json"):
        points, named = _markups(_json(text, source), source)
    elif name.endswith(".json"):
        points, named = _plain_json(_json(text, source), source)
    elif name.endswith(".fcsv"):
        points, named = _fcsv(text, source)
    elif name.endswith(".csv"):
        points, named = _csv(text), None
    else:
        raise PromptError(f"{source}: points are read from .mrk.json, .fcsv, .json and .csv files")
    if named and frame and named is not frame:
        raise PromptError(f"{source} says that its points are {named.value}, not {frame.value}")
    return ExtremePoints(points, named or frame or Frame.VOXEL)


def _points(text: str) -> list[Point]:
    return [_point(part.split(","), part) for part in text.replace(";", " ").split()]


def _markups(data: Any, source: Path) -> tuple[list[Point], Frame | None]:
    try:
        markup = data["markups"][0]
        frame = _SLICER_FRAMES[str(markup.get("coordinateSystem", "LPS")).upper()]
        placed = [
            point["position"]
            for point in markup["controlPoints"]
            if point.get("positionStatus", "defined") == "defined"
        ]
    except (KeyError, IndexError, TypeError, AttributeError) as error:
        raise PromptError(f"{source} is not a 3D Slicer markups file: no {error}") from error
    if markup.get("coordinateUnits", "mm") != "mm":
        raise PromptError(f"{source}: coordinates must be in mm, not {markup['coordinateUnits']}")
    return [_point(point, source) for point in placed], frame


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
                    raise PromptError(f"{source}: coordinate system {value.strip()!r} is not supported; use LPS or RAS")
                frame = _SLICER_FRAMES[value.strip().upper()]
        elif line.strip():
            # Columns: id, x, y, z, orientation (4), ..., associatedNodeID, and in newer files the position's status.
            cells = next(csv.reader([line]))
            if cells[14:15] in ([], [""], [_SLICER_DEFINED]):
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
