"""The options that give prompts, for all commands that take some."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from sixpoint.geometry import Geometry
from sixpoint.prompts import (
    Box,
    ExtremePoints,
    Frame,
    InitialMask,
    Lasso,
    Prompt,
    Scribble,
    parse_box,
    parse_click,
    parse_lasso,
    parse_mask_source,
    parse_points,
    parse_scribble,
    read_points,
    signed_source,
)

__all__ = [
    "BoxOption",
    "ClicksOption",
    "FrameOption",
    "LassosOption",
    "MaskOption",
    "PointsFileOption",
    "PointsListOption",
    "PointsOption",
    "ResampleOption",
    "ScribblesOption",
    "ThresholdOption",
    "drawn_files",
    "place_masks",
    "read_prompts",
]

PointsOption = Annotated[str, typer.Option("--points", "-p", help='Six or more extreme points, "x,y,z x,y,z ...".')]
PointsFileOption = Annotated[
    Path | None,
    typer.Option("--points-file", "-f", help="File with extreme points: .mrk.json, .fcsv, .json or .csv."),
]
PointsListOption = Annotated[
    str, typer.Option("--points-list", help="Name or number of the list to read from a .mrk.json file with several.")
]
BoxOption = Annotated[
    str,
    typer.Option("--box", "-b", help='Box round the object, instead of points: two opposite corners, "x,y,z x,y,z".'),
]
MaskOption = Annotated[
    str,
    typer.Option(
        "--mask",
        help="Mask to correct, instead of points, on the image's grid. FILE:2 or FILE:liver is a label of a label map, "
        "or a segment of a DICOM SEG.",
        metavar="FILE[:LABEL]",
    ),
]
ResampleOption = Annotated[
    bool, typer.Option("--resample", help="Resample the mask of --mask to the image's grid, by nearest neighbours.")
]
ThresholdOption = Annotated[
    float | None,
    typer.Option(
        help="Smallest probability of the object's voxels, above 0 and at most 1, where the mask of --mask is a "
        "probability map, or a FRACTIONAL segment of a DICOM SEG."
    ),
]
ClicksOption = Annotated[
    list[str] | None,
    typer.Option(
        "--click",
        "-c",
        help="Correction: +x,y,z where the mask misses the object, -x,y,z where it extends beyond it. May be repeated; "
        "each click corrects the mask of those before it.",
        metavar="+X,Y,Z|-X,Y,Z",
    ),
]
ScribblesOption = Annotated[
    list[str] | None,
    typer.Option(
        "--scribble",
        help="Correction by a label map on the image's grid: +FILE where its voxels belong to the object, -FILE where "
        "they do not. +FILE:2 takes a label of several. May be repeated.",
        metavar="+FILE|-FILE",
    ),
]
LassosOption = Annotated[
    list[str] | None,
    typer.Option(
        "--lasso",
        help="Closed contour on one slice, a .mrk.json, .fcsv, .json or .csv file of its corners, or a label map of "
        "its inside: the object fills it (+FILE), or is nowhere in it (-FILE). Without points, box or mask, a positive "
        "one begins the object. May be repeated.",
        metavar="+FILE|-FILE",
    ),
]
FrameOption = Annotated[
    str,
    typer.Option(
        help="Frame of the points, boxes and clicks that are typed: voxel (indices x,y,z), or lps or ras (patient "
        "coordinates in mm). A points file that names its frame keeps it.",
        metavar="voxel|lps|ras",
        show_default="voxel",
    ),
]


def read_prompts(
    *,
    points: str,
    points_file: Path | None,
    box: str,
    mask: str,
    clicks: list[str] | None,
    frame: str,
    points_list: str = "",
    threshold: float | None = None,
    scribbles: list[str] | None = None,
    lassos: list[str] | None = None,
) -> tuple[Prompt, ...]:
    """Read the prompts of a command line: at most one that begins an object, then lassos, scribbles, and the clicks.

    Args:
        points: Text of ``--points``.
        points_file: File of ``--points-file``.
        box: Text of ``--box``.
        mask: Text of ``--mask``.
        clicks: Texts of ``--click``.
        frame: Name of ``--frame``: the frame of what is typed, and of a points file that names none.
        points_list: Text of ``--points-list``.
        threshold: Number of ``--threshold``.
        scribbles: Texts of ``--scribble``.
        lassos: Texts of ``--lasso``.

    Raises:
        typer.BadParameter: More than one option begins an object, or the frame of clicks beside a points file in mm is
            not said.
        PromptError: A prompt cannot be read.
        VolumeError: The mask cannot be read.
    """
    if points_list and not points_file:
        raise typer.BadParameter("--points-list needs --points-file")
    if threshold is not None and not mask:
        raise typer.BadParameter("--threshold needs --mask")
    if sum(map(bool, (points, points_file, box, mask))) > 1:
        raise typer.BadParameter("give only one of --points, --points-file, --box and --mask")
    named_frame = Frame.parse(frame) if frame else None
    start: ExtremePoints | Box | InitialMask | None = None
    if points_file:
        start = read_points(points_file, default_frame=named_frame or Frame.VOXEL, list_name=points_list)
    elif mask:
        path, label = parse_mask_source(mask)
        start = InitialMask.read(path, label=label, threshold=threshold)
    elif points:
        start = parse_points(points, frame=named_frame or Frame.VOXEL)
    elif box:
        start = parse_box(box, frame=named_frame or Frame.VOXEL)
    if clicks and isinstance(start, ExtremePoints) and start.frame is not Frame.VOXEL and not named_frame:
        # Slicer saves LPS and displays RAS: the file's frame is not the one of numbers read off the screen.
        raise typer.BadParameter(
            f"the points of {points_file} are in the frame {start.frame.value}; give the frame of --click: --frame "
            "voxel, lps, or ras (what 3D Slicer displays)"
        )
    click_frame = named_frame or Frame.VOXEL
    corrections: list[Prompt] = [parse_lasso(text, frame=click_frame) for text in lassos or ()]
    corrections += [parse_scribble(text) for text in scribbles or ()]
    corrections += [parse_click(text, frame=click_frame) for text in clicks or ()]
    return (*([start] if start else ()), *corrections)


def drawn_files(mask: str, scribbles: Sequence[str] | None, lassos: Sequence[str] | None) -> list[Path]:
    """Return the files or folders of ``--mask``, ``--scribble`` and ``--lasso``, without labels and signs.

    Raises:
        PromptError: A sign is missing.
    """
    signed = [("scribble", text) for text in scribbles or ()] + [("lasso", text) for text in lassos or ()]
    sources = [*([mask] if mask else ()), *(signed_source(text, kind=kind)[1] for kind, text in signed)]
    return [parse_mask_source(source)[0] for source in sources]


def place_masks(prompts: Sequence[Prompt], geometry: Geometry, *, resample: bool = False) -> tuple[Prompt, ...]:
    """Put masks, scribbles and lassos on the grid of the image, and check that all prompts fit it.

    The gateway checks it only after the upload.

    Args:
        prompts: Prompts to place.
        geometry: Geometry of the image.
        resample: Whether masks on another grid are resampled.

    Raises:
        PromptError: A mask lies on another grid than the image, or a prompt exceeds the image.
    """
    placed: list[Prompt] = []
    for prompt in prompts:
        match prompt:
            case InitialMask():
                placed.append(prompt.on_grid(geometry, resample=resample))
            case Scribble() | Lasso():
                placed.append(prompt.on_grid(geometry))
            case _:
                placed.append(prompt)
        placed[-1].to_index(geometry)
    return tuple(placed)
