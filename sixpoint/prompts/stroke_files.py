"""Read scribbles and lassos from files, as the command line names them: ``+FILE`` or ``-FILE``."""

from __future__ import annotations

import os
from pathlib import Path

from sixpoint._typing import FrameName
from sixpoint.errors import PromptError, Violation
from sixpoint.errors.shortening import shorten
from sixpoint.prompts.frames import Frame
from sixpoint.prompts.lassos import Lasso
from sixpoint.prompts.mask_files import parse_mask_source, read_mask
from sixpoint.prompts.point_files import read_points
from sixpoint.prompts.scribbles import Scribble

__all__ = ["parse_lasso", "parse_scribble", "read_lasso", "signed_source"]

_POINT_FILES = (".json", ".fcsv", ".csv")


def parse_scribble(text: str) -> Scribble:
    """Read the scribble of ``+FILE`` (positive) or ``-FILE`` (negative); ``FILE:LABEL`` takes one of several labels.

    Raises:
        PromptError: The sign is missing, or the scribble is too large.
        VolumeError: The file cannot be read, is empty, or has several labels of which none is chosen.
    """
    positive, source = signed_source(text, kind="scribble")
    path, label = parse_mask_source(source)
    return Scribble.read(path, positive, label=label)


def parse_lasso(text: str, *, frame: Frame = Frame.VOXEL) -> Lasso:
    """Read the lasso of ``+FILE`` (positive) or ``-FILE`` (negative).

    Args:
        text: Sign and file, as :func:`read_lasso` takes it.
        frame: Frame of a file that names none.

    Raises:
        PromptError: The sign is missing, or the file holds no lasso.
        VolumeError: A label map cannot be read.
    """
    positive, source = signed_source(text, kind="lasso")
    return read_lasso(source, positive, default_frame=frame)


def read_lasso(
    path: str | os.PathLike[str],
    positive: bool = True,
    *,
    default_frame: Frame | FrameName = Frame.VOXEL,
    list_name: str = "",
) -> Lasso:
    """Read a lasso from a file.

    Args:
        path: Corners of the contour, in order, in a ``.mrk.json`` file (a closed curve of 3D Slicer), ``.fcsv``,
            ``.json`` or ``.csv`` file; or the filled form, as a label map that is not 0 inside on one slice. A name may
            end in ``:LABEL``, for one of several labels. Between its control points a curve is taken for straight.
        positive: Whether the object fills the lasso.
        default_frame: Frame of a file of points that names none.
        list_name: Name, or number from 1, of the curve in a ``.mrk.json`` file that holds several.

    Raises:
        PromptError: The file holds no lasso.
        VolumeError: A label map cannot be read.
    """
    if os.fspath(path).lower().endswith(_POINT_FILES):
        contour = read_points(path, default_frame=default_frame, list_name=list_name)
        return Lasso(contour.points, positive, contour.frame)
    source, label = parse_mask_source(os.fspath(path))
    inside, grid = read_mask(Path(source), label=label)
    return Lasso.of_mask(inside, positive, grid=grid)


def signed_source(text: str, *, kind: str) -> tuple[bool, str]:
    """Split ``+FILE`` or ``-FILE`` into whether it is positive, and the file.

    Raises:
        PromptError: The sign or the file is missing.
    """
    sign, source = text.strip()[:1], text.strip()[1:]
    if sign not in {"+", "-"} or not source:
        raise PromptError(
            f"{shorten(text)}: expected + (positive {kind}) or - (negative {kind}), followed by a file",
            violations=(Violation(kind, "+FILE or -FILE"),),
        )
    return sign == "+", source
