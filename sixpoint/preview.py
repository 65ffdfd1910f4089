"""Picture of a mask: three planes through its centre, its outline over the image, and the points."""

from __future__ import annotations

import base64
import html
import io
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from sixpoint._typing import Array
from sixpoint.errors import VolumeError
from sixpoint.geometry import Geometry
from sixpoint.volume import Volume

if TYPE_CHECKING:
    from PIL import Image

__all__ = ["picture_html", "render_preview", "render_silhouette", "save_preview"]


_PANEL = 360
_SILHOUETTE = 128
_BACKGROUND = 18
_HTML_WIDTH = 720
_GAP = 8
_CAPTION = 22
_OUTLINE = (255, 196, 0)
_TRUTH = (70, 220, 90)
_POINT = (0, 230, 255)
_EXCLUDED = (255, 64, 64)
# Margin on every side, as a fraction of the mask's edge, so that its neighbours are visible.
_CONTEXT = 0.6
_MIN_CONTEXT_MM = 25.0
# Avoids a division by 0 on constant images.
_TINY = 1e-37
# Points nearer to the plane than this are drawn filled, others hollow.
_NEAR_MM = 4.0

# Name; canonical axis (0 x, 1 y, 2 z) normal to the plane; axes that run across and down (z runs up); letters.
_PLANES: Sequence[tuple[str, int, int, int, str, str]] = (
    ("axial", 2, 0, 1, "R", "L"),
    ("coronal", 1, 0, 2, "R", "L"),
    ("sagittal", 0, 1, 2, "A", "P"),
)


def render_preview(
    volume: Volume,
    mask: Array,
    points: npt.ArrayLike = (),
    *,
    excluded: npt.ArrayLike = (),
    truth: Array | None = None,
) -> Image.Image:
    """Draw a mask over its image.

    Args:
        volume: Image under the mask.
        mask: Mask [z, y, x], 0 and 1, on the image's grid; outlined in yellow.
        points: Points of the object as voxel indices (x, y, z) of the image, shape [n, 3]; cyan.
        excluded: Negative clicks as voxel indices (x, y, z), shape [n, 3]; red.
        truth: True mask [z, y, x], where it is known; outlined in green.

    Returns:
        RGB picture of the axial, coronal and sagittal plane through the mask's centre, in the radiologist's view (the
        patient's right on the left), in true proportions, grey from the 1st to the 99th percentile; with
        ``volume.inverted_display``, large values are dark.
    """
    from PIL import Image, ImageDraw, ImageFont

    orientation = volume.geometry.orientation
    image, inside = orientation.to_canonical(volume.array), orientation.to_canonical(mask) > 0
    spacing = np.array(volume.geometry.canonical().spacing)
    placed, left_out = (orientation.index_to_canonical(part, size=volume.geometry.size) for part in (points, excluded))
    marks = [(point, _POINT) for point in placed] + [(point, _EXCLUDED) for point in left_out]
    outlines = [(inside, _OUTLINE)]
    if truth is not None:
        outlines.insert(0, (orientation.to_canonical(truth) > 0, _TRUTH))
    low, high, centre = _field_of_view(inside, placed, spacing)
    window = image[tuple(slice(low[a], high[a]) for a in (2, 1, 0))]
    dark, bright = np.percentile(window, (99, 1) if volume.inverted_display else (1, 99))
    picture = Image.new("RGB", (3 * _PANEL + 4 * _GAP, _PANEL + _CAPTION + 2 * _GAP), (18, 18, 20))
    for number, (name, axis, across, down, left, right) in enumerate(_PLANES):
        panel = _panel(image, outlines, marks, spacing, (low, high, centre), (axis, across, down), (dark, bright))
        corner = (_GAP + number * (_PANEL + _GAP), _GAP + _CAPTION)
        picture.paste(panel, (corner[0] + (_PANEL - panel.width) // 2, corner[1] + (_PANEL - panel.height) // 2))
        draw = ImageDraw.Draw(picture)
        font = ImageFont.load_default(size=14)
        # The slice's number in the image's own axes, as viewers and prompts count.
        own, flipped = orientation.axes[axis], orientation.flips[axis]
        slice_number = volume.geometry.size[own] - 1 - centre[axis] if flipped else centre[axis]
        draw.text((corner[0], _GAP), f"{name}, {'xyz'[own]} = {slice_number}", fill=(225, 225, 225), font=font)
        draw.text((corner[0] + 4, corner[1] + _PANEL // 2), left, fill=(225, 225, 225), font=font)
        draw.text((corner[0] + _PANEL - 14, corner[1] + _PANEL // 2), right, fill=(225, 225, 225), font=font)
    return picture


def render_silhouette(mask: Array, geometry: Geometry) -> Image.Image:
    """Draw the shadow of a mask along each axis: the object seen from below, from the front and from the left.

    Args:
        mask: Mask [z, y, x], 0 outside the object.
        geometry: Geometry of the mask.

    Returns:
        Grey picture of three panels on one scale, in true proportions and in the radiologist's view (the patient's
        right on the left); brighter where the object is thicker.
    """
    from PIL import Image

    inside = geometry.orientation.to_canonical(mask) > 0
    spacing = np.array(geometry.canonical().spacing)
    low, high, _ = _field_of_view(inside, np.empty((0, 3)), spacing)
    inside = inside[tuple(slice(low[a], high[a]) for a in (2, 1, 0))]
    scale = _SILHOUETTE / ((high - low) * spacing).max()
    picture = Image.new("L", (3 * _SILHOUETTE + 4 * _GAP, _SILHOUETTE + 2 * _GAP), _BACKGROUND)
    for number, (_, axis, across, down, _, _) in enumerate(_PLANES):
        depth = np.count_nonzero(inside, axis=2 - axis)[:: -1 if down == 2 else 1]
        level = np.where(depth > 0, 90 + 165 * depth / max(depth.max(), 1), 0)
        extent = ((high - low) * spacing * scale)[[across, down]]
        shape = (max(1, round(extent[0])), max(1, round(extent[1])))
        panel = Image.fromarray(level.astype(np.uint8)).resize(shape, Image.Resampling.BILINEAR)
        corner = (_GAP + number * (_SILHOUETTE + _GAP), _GAP)
        picture.paste(panel, (corner[0] + (_SILHOUETTE - shape[0]) // 2, corner[1] + (_SILHOUETTE - shape[1]) // 2))
    return picture


def picture_html(picture: Image.Image | None, *, caption: str) -> str:
    """A picture with its caption as HTML, for notebooks.

    Args:
        picture: Picture that is put into the text; None for the caption alone.
        caption: Text below the picture.
    """
    text = f"<code>{html.escape(caption)}</code>"
    if picture is None:
        return text
    # A notebook keeps every picture.
    picture.thumbnail((_HTML_WIDTH, _HTML_WIDTH))
    content = io.BytesIO()
    picture.save(content, format="PNG", optimize=True)
    data = base64.b64encode(content.getvalue()).decode()
    return f'<div><img src="data:image/png;base64,{data}" alt="{html.escape(caption)}"><br>{text}</div>'


def save_preview(picture: Image.Image, path: str | os.PathLike[str]) -> None:
    """Write a picture as PNG.

    Raises:
        VolumeError: The file cannot be written.
    """
    try:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        picture.save(path, format="PNG")
    except OSError as error:
        raise VolumeError(f"cannot write {path}: {error}") from error


def _field_of_view(inside: Array, points: Array, spacing: Array) -> tuple[Array, Array, Array]:
    """Canonical indices (x, y, z) of the first and one past the last voxel to draw, and of the mask's centre."""
    size = np.array(inside.shape[::-1])
    if inside.any():
        # Counts per plane: the indices of all voxels of a large mask would take gigabytes.
        counts = [np.count_nonzero(inside, axis=across) for across in ((0, 1), (0, 2), (1, 2))]
        low, high = (np.array([np.flatnonzero(count)[end] for count in counts]) for end in (0, -1))
        mean = np.array([np.average(np.arange(len(count)), weights=count) for count in counts])
    else:
        filled = points if len(points) else size[None, :] / 2
        low, high, mean = filled.min(axis=0), filled.max(axis=0), filled.mean(axis=0)
    centre = np.clip(np.rint(mean), 0, size - 1).astype(int)
    reach = np.maximum(((high - low) * spacing).max() * (0.5 + _CONTEXT), _MIN_CONTEXT_MM) / spacing
    middle = (low + high) / 2
    first = np.floor(np.clip(middle - reach, 0, size - 1)).astype(int)
    last = np.ceil(np.clip(middle + reach, 0, size - 1)).astype(int) + 1
    return first, last, centre


def _panel(
    image: Array,
    outlines: Sequence[tuple[Array, tuple[int, int, int]]],
    marks: Sequence[tuple[Array, tuple[int, int, int]]],
    spacing: Array,
    view: tuple[Array, Array, Array],
    axes: tuple[int, int, int],
    grey: tuple[float, float],
) -> Image.Image:
    from PIL import Image, ImageDraw

    low, high, centre = view
    axis, across, down = axes
    index: list[Any] = [slice(low[2], high[2]), slice(low[1], high[1]), slice(low[0], high[0])]
    index[2 - axis] = int(centre[axis])
    flip = down == 2
    rows = slice(None, None, -1 if flip else 1)
    plane = image[tuple(index)][rows].astype(np.float32)
    width, height = (high[across] - low[across]) * spacing[across], (high[down] - low[down]) * spacing[down]
    scale = _PANEL / max(width, height)
    shape = (max(1, round(width * scale)), max(1, round(height * scale)))
    contrast = grey[1] - grey[0]
    level = np.clip((plane - grey[0]) / (contrast if abs(contrast) > _TINY else _TINY), 0, 1) * 255
    panel = Image.fromarray(level.astype(np.uint8)).resize(shape, Image.Resampling.BICUBIC).convert("RGB")
    pixels = np.asarray(panel).copy()
    for inside, colour in outlines:
        body = Image.fromarray((inside[tuple(index)][rows] * 255).astype(np.uint8))
        pixels[_edge(np.asarray(body.resize(shape, Image.Resampling.BILINEAR)) > 127)] = colour
    panel = Image.fromarray(pixels)
    draw = ImageDraw.Draw(panel)
    for point, colour in marks:
        u = (point[across] - low[across] + 0.5) * spacing[across] * scale
        v = (point[down] - low[down] + 0.5) * spacing[down] * scale
        v = shape[1] - v if flip else v
        near = abs(point[axis] - centre[axis]) * spacing[axis] <= _NEAR_MM
        r = 5 if near else 4
        draw.ellipse((u - r, v - r, u + r, v + r), fill=colour if near else None, outline=colour, width=1)
    return panel


def _edge(inside: Array) -> Array:
    """Pixels of a 2D mask that touch its outside, two pixels thick."""
    core = inside.copy()
    for _ in range(2):
        padded = np.pad(core, 1, mode="edge")
        core = core & padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
    return inside & ~core
