"""Pictures for the documentation, of what viewers received whose windows do not open in tests."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from sixpoint._typing import Array

__all__ = ["draw_steps"]

_FOLDER = os.environ.get("VIEWER_PICTURES", "")
_ZOOM, _GAP = 2, 8
_LOWEST, _HIGHEST = 2, 99
# Colours of the palette behind the greys.
_GREYS = 62
_OUTLINE, _POINT = (60, 220, 90), (255, 200, 40)


def draw_steps(
    name: str, image: Array, masks: Sequence[Array], points: Sequence[Sequence[tuple[int, int, int]]], *, z: int
) -> None:
    """Write a picture, if ``VIEWER_PICTURES`` names a folder: one slice after each step, with the mask's outline.

    Args:
        name: Name of the file.
        image: Voxels [z, y, x].
        masks: The mask after each step, on the same grid.
        points: What was clicked for each (x, y, z); dots mark those within a slice of ``z``, crosses all others.
        z: Index of the slice.
    """
    if not _FOLDER:
        return
    dark, bright = np.percentile(image, (_LOWEST, _HIGHEST))
    shade = np.clip((image[z] - dark) / max(float(bright - dark), 1e-9), 0, 1)
    grey = np.kron((shade * (_GREYS - 1)).astype(np.uint8), np.ones((_ZOOM, _ZOOM), np.uint8))
    height, width = grey.shape
    whole = Image.new("P", (len(masks) * (width + _GAP) - _GAP, height), _GREYS - 1)
    whole.putpalette([level * 255 // (_GREYS - 1) for level in range(_GREYS) for _ in range(3)] + [*_OUTLINE, *_POINT])
    for number, (mask, clicked) in enumerate(zip(masks, points, strict=True)):
        large = np.kron(mask[z] != 0, np.ones((_ZOOM, _ZOOM), bool))
        edge = np.pad(large, 1)
        inner = edge[:-2, 1:-1] & edge[2:, 1:-1] & edge[1:-1, :-2] & edge[1:-1, 2:]
        panel = Image.fromarray(np.where(large & ~inner, np.uint8(_GREYS), grey))
        pen = ImageDraw.Draw(panel)
        for x, y, slice_index in clicked:
            left, top = ((value + 0.5) * _ZOOM for value in (x, y))
            if abs(slice_index - z) <= 1:
                pen.ellipse((left - 4, top - 4, left + 4, top + 4), fill=_GREYS + 1)
            else:
                pen.line((left - 4, top - 4, left + 4, top + 4), fill=_GREYS + 1, width=2)
                pen.line((left - 4, top + 4, left + 4, top - 4), fill=_GREYS + 1, width=2)
        panel.putpalette(whole.getpalette() or [])
        whole.paste(panel, (number * (width + _GAP), 0))
    whole.save(Path(_FOLDER) / name, optimize=True)
