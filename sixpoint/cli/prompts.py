"""Prompts on the command line: the options of all commands that take some."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sixpoint.errors import VolumeError
from sixpoint.geometry import Geometry
from sixpoint.mask import Mask
from sixpoint.prompts import (
    Box,
    Click,
    ExtremePoints,
    Frame,
    InitialMask,
    parse_box,
    parse_click,
    parse_points,
    read_points,
)
from sixpoint.volume import Volume

__all__ = ["BoxText", "Clicks", "FrameName", "MaskFile", "Points", "PointsFile", "read_begun", "read_clicks"]

Points = Annotated[str, typer.Option("--points", "-p", help='Six or more points, "x,y,z x,y,z ...".')]
PointsFile = Annotated[
    Path | None, typer.Option("--points-file", "-f", help="Points from a .mrk.json, .fcsv, .json or .csv file.")
]
BoxText = Annotated[
    str, typer.Option("--box", "-b", help='A box round the object instead: two opposite corners, "x,y,z x,y,z".')
]
MaskFile = Annotated[
    str,
    typer.Option(
        "--mask",
        help="A mask to correct instead, on the image's grid; FILE:2 takes label 2 of a label image.",
        metavar="FILE[:LABEL]",
    ),
]
Clicks = Annotated[
    list[str] | None,
    typer.Option(
        "--click",
        "-c",
        help="A correction: +x,y,z where the object was missed, -x,y,z where the mask went too far. May be given "
        "again: each corrects the answer to those before it.",
        metavar="+X,Y,Z|-X,Y,Z",
    ),
]
FrameName = Annotated[
    str,
    typer.Option(
        help="What the numbers are: voxel indices (x,y,z), or patient mm, lps or ras; those of clicks too. "
        "[default: voxel, or what the file says]"
    ),
]


def read_begun(
    *, points: str, points_file: Path | None, box: str, mask: str, frame: str
) -> ExtremePoints | Box | InitialMask | None:
    """What begins an object; None when nothing was given.

    Raises:
        typer.BadParameter: When several were given.
        PromptError: When it cannot be read.
        VolumeError: When the mask cannot.
    """
    if sum(map(bool, (points, points_file, box, mask))) > 1:
        raise typer.BadParameter(
            'give the points either as --points "x,y,z x,y,z ..." or as --points-file FILE, or a box as '
            '--box "x,y,z x,y,z", or a mask as --mask FILE: one of them'
        )
    named = Frame.parse(frame) if frame else None
    if points_file:
        return read_points(points_file, frame=named)
    if mask:
        return _read_mask(mask)
    if points or box:
        return (parse_points if points else parse_box)(points or box, frame=named or Frame.VOXEL)
    return None


def read_clicks(clicks: list[str] | None, *, begun: object, frame: str) -> list[Click]:
    """The clicks, in the frame that was named, or else in that of what begins the object.

    Raises:
        PromptError: When one cannot be read.
    """
    known = begun.frame if isinstance(begun, ExtremePoints | Box) else Frame.VOXEL
    return [parse_click(text, frame=Frame.parse(frame) if frame else known) for text in clicks or ()]


def _read_mask(text: str) -> InitialMask:
    name, separator, label = text.rpartition(":")
    if not separator or not label.isdecimal():
        name, label = text, ""
    volume = Volume.read(name)
    array = volume.array == int(label) if label else volume.array != 0
    if not array.any():
        what = f"no voxel of label {label}" if label else "no voxel that is not 0"
        raise VolumeError(f"{name} has {what}")
    geometry: Geometry = volume.geometry
    return InitialMask.of(Mask(array.astype("uint8"), geometry))
