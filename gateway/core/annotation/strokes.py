"""Strokes: the voxels of scribbles and lassos in canonical indices, and how they are enforced beside the clicks."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from gateway.core.annotation.clicks import Clicks
from gateway.core.annotation.corrections import enforce_clicks, threshold_count
from sixpoint._typing import Bools, Counts, Float, Ints, Points, Size
from sixpoint.errors import PromptError, ResourceExhausted
from sixpoint.geometry import Geometry
from sixpoint.model_spec import PromptKind
from sixpoint.preprocessing import Roi, cells_of_voxels, representative_clicks, set_stroke_cells
from sixpoint.prompts import MAX_VOXELS, Lasso, Prompt, Scribble, prompt_path
from sixpoint.prompts.voxel_runs import sorted_voxels

__all__ = [
    "MAX_STROKES",
    "MAX_STROKE_VOXELS",
    "Stroke",
    "add_strokes",
    "clicks_for_network",
    "enforce_prompts",
    "estimate_reading_memory",
    "place_stroke",
    "positive_corners",
    "stroke_cells",
    "stroke_samples",
    "write_prompts",
    "write_stroke_cells",
]

MAX_STROKES = 200
"""Scribbles and lassos on one object: far more than a person draws. Each of them costs time in every call."""
MAX_STROKE_VOXELS = 2 * MAX_VOXELS
"""Voxels of all strokes on one object."""

# Bytes for each voxel of a stroke while it is unpacked and put in order, and for those that were.
_BYTES_PER_VOXEL = 192
# Clicks that stand for a stroke.
_CLICKS = 1
# Voxels of a stroke near which the answer may change; more are no denser than the reach of a click.
_SAMPLES = 32


@dataclass(frozen=True, eq=False)
class Stroke:
    """The voxels of a scribble or a lasso.

    Attributes:
        kind: Kind of the prompt.
        voxels: Canonical voxels (x, y, z), shape [n, 3], in the order of z, y, x.
        positive: Whether the voxels belong to the object.
        clicks: Canonical points (x, y, z) that stand for the stroke, shape [n, 3].
        clicks_before: Number of clicks that were made before the stroke, those that stand for strokes included.
        corners: First and last voxel (x, y, z) of the stroke's box, shape [2, 3].
    """

    kind: PromptKind
    voxels: Ints
    positive: bool
    clicks: Points
    clicks_before: int
    corners: Ints


def place_stroke(prompt: Scribble | Lasso, *, geometry: Geometry, clicks_before: int) -> Stroke:
    """Unpack or fill a scribble or a lasso.

    Args:
        prompt: The prompt.
        geometry: Geometry of the image as uploaded.
        clicks_before: Number of clicks that were made before it.

    Raises:
        PromptError: The prompt does not fit the image, or arrived damaged.
    """
    orientation, own = geometry.orientation, prompt.voxels(geometry)
    placed = own[:, orientation.axes]
    flipped = np.flatnonzero(orientation.flips)
    placed[:, flipped] = np.array(geometry.canonical().size, np.int32)[flipped] - 1 - placed[:, flipped]
    # In one order, whatever that of the image's axes is: it decides between clicks that would do equally well.
    voxels = sorted_voxels(placed)
    clicks = representative_clicks(voxels, spacing=geometry.canonical().spacing, count=_CLICKS)
    corners = np.stack([voxels.min(axis=0), voxels.max(axis=0)])
    kind = PromptKind.SCRIBBLES if isinstance(prompt, Scribble) else PromptKind.LASSO
    return Stroke(kind, voxels, prompt.positive, clicks, clicks_before, corners)


def add_strokes(strokes: Sequence[Stroke], later: Sequence[Stroke], *, clicks_before: int = 0) -> tuple[Stroke, ...]:
    """Return strokes followed by later ones.

    Args:
        strokes: Strokes so far.
        later: Further strokes.
        clicks_before: Number of clicks to add to those that the later strokes count.

    Raises:
        ResourceExhausted: There are too many strokes on the object, or too many voxels.
    """
    moved = (replace(stroke, clicks_before=stroke.clicks_before + clicks_before) for stroke in later)
    joined = (*strokes, *moved)
    count = sum(len(stroke.voxels) for stroke in joined)
    _check_amount(len(joined), count)
    return joined


def estimate_reading_memory(prompts: Sequence[Prompt], *, geometry: Geometry) -> int:
    """Estimate the bytes that unpacking the strokes of a call takes; 0 without any.

    Args:
        prompts: Prompts of the call.
        geometry: Geometry of the image as uploaded.

    Raises:
        PromptError: A stroke does not fit the image, or is too large.
        ResourceExhausted: There are too many strokes, or too many voxels.
    """
    counts = [0]
    for number, prompt in enumerate(prompts):
        if isinstance(prompt, Scribble):
            counts.append(prompt.voxel_count)
        elif isinstance(prompt, Lasso):
            try:
                counts.append(prompt.max_voxels(geometry))
            except PromptError as error:
                raise error.under(prompt_path(prompt, number)) from None
    _check_amount(len(counts) - 1, sum(counts))
    return _BYTES_PER_VOXEL * max(counts)


def _check_amount(strokes: int, voxels: int) -> None:
    if strokes > MAX_STROKES or voxels > MAX_STROKE_VOXELS:
        raise ResourceExhausted(
            f"{strokes} scribbles and lassos of {voxels} voxels on one object, and the limit is {MAX_STROKES} of "
            f"{MAX_STROKE_VOXELS} voxels in all; start the object anew, from its present mask"
        )


def positive_corners(strokes: Sequence[Stroke]) -> Ints:
    """Return the corners (x, y, z) of the boxes of all positive strokes, shape [n, 3]: the object reaches there."""
    return np.concatenate([np.empty((0, 3), np.int32), *(stroke.corners for stroke in strokes if stroke.positive)])


def stroke_cells(
    strokes: Sequence[Stroke], roi: Roi, *, kinds: Collection[PromptKind]
) -> dict[tuple[PromptKind, bool], Bools]:
    """Mark the cells of an ROI's grid that strokes take up; of two of a kind in one cell, the later one counts.

    Args:
        strokes: All strokes on the object.
        roi: Region of interest.
        kinds: Kinds of prompts that the network has channels for.

    Returns:
        Cells [z, y, x] by the kind of the prompt, and whether it is positive.
    """
    x, y, z = roi.size
    result = {(kind, sign): np.zeros((z, y, x), np.bool_) for kind in kinds for sign in (True, False)}
    for stroke in strokes:
        if stroke.kind in kinds:
            cells = cells_of_voxels(stroke.voxels, roi)
            result[stroke.kind, stroke.positive] |= cells
            result[stroke.kind, not stroke.positive] &= ~cells
    return result


def clicks_for_network(clicks: Clicks, strokes: Sequence[Stroke], *, kinds: Collection[PromptKind]) -> Clicks:
    """Return the clicks, without those that stand for strokes of kinds that the network has channels for.

    Args:
        clicks: All clicks on the object.
        strokes: All strokes on the object.
        kinds: Kinds of prompts that the network has channels for.
    """
    keep = np.ones(len(clicks), np.bool_)
    for stroke in strokes:
        if stroke.kind in kinds:
            keep[stroke.clicks_before : stroke.clicks_before + len(stroke.clicks)] = False
    return Clicks(clicks.points[keep], clicks.positive[keep])


def stroke_samples(strokes: Sequence[Stroke]) -> Points:
    """Return voxels (x, y, z) spread over strokes, shape [n, 3]: near them the answer may change."""
    samples = [np.empty((0, 3))]
    for stroke in strokes:
        chosen = np.unique(np.linspace(0, len(stroke.voxels) - 1, _SAMPLES).astype(int))
        samples.append(stroke.voxels[chosen].astype(np.float64))
    return np.concatenate(samples)


def enforce_prompts(
    counts: Counts, clicks: Clicks, strokes: Sequence[Stroke], *, roi: Roi, size: Size, threshold: float
) -> Counts:
    """Change probabilities so that they agree with every click and stroke, as far as cells can; the later one counts.

    Args:
        counts: Probabilities [z, y, x] on the ROI's grid, in 255ths.
        clicks: All clicks on the object.
        strokes: All strokes on the object.
        roi: Region of interest.
        size: Size (x, y, z) of the canonical image.
        threshold: Smallest probability of the object's voxels.
    """
    cut = threshold_count(threshold)
    for each in _in_order(clicks, strokes):
        if isinstance(each, Stroke):
            cells = cells_of_voxels(each.voxels, roi)
            counts = set_stroke_cells(counts, cells, positive=each.positive, inside=cut, outside=max(0, cut - 1))
        else:
            counts = enforce_clicks(counts, each.voxels(size), each.positive, roi=roi, threshold=threshold)
    return counts


def write_stroke_cells(probabilities: Float, strokes: Sequence[Stroke], roi: Roi) -> None:
    """Make a previous answer say what strokes say, 1 or 0, before the network corrects it.

    After one lasso on the worst slice this adds 0.002 to the mean Dice of 38 structures; after one scribble, nothing.

    Args:
        probabilities: Previous answer [z, y, x] on the ROI's grid, 0 to 1, which is changed.
        strokes: Strokes that it does not know.
        roi: Region of interest.
    """
    for stroke in strokes:
        probabilities[cells_of_voxels(stroke.voxels, roi)] = 1.0 if stroke.positive else 0.0


def write_prompts(mask: Bools, lower: Size, clicks: Clicks, strokes: Sequence[Stroke], *, size: Size) -> None:
    """Set the voxels of clicks and strokes in a mask, in their order; those outside it are left out.

    Args:
        mask: Canonical mask [z, y, x], which is changed.
        lower: Index (x, y, z) of its first voxel.
        clicks: All clicks on the object.
        strokes: All strokes on the object.
        size: Size (x, y, z) of the canonical image.
    """
    for each in _in_order(clicks, strokes):
        voxels = each.voxels if isinstance(each, Stroke) else each.voxels(size)
        index = voxels - np.array(lower)
        inside = ((index >= 0) & (index < mask.shape[::-1])).all(axis=1)
        x, y, z = index[inside].T
        mask[z, y, x] = each.positive if isinstance(each, Stroke) else each.positive[inside]


def _in_order(clicks: Clicks, strokes: Sequence[Stroke]) -> Iterator[Clicks | Stroke]:
    """Clicks and strokes in the order in which they were made, with clicks that follow each other together."""
    done = 0
    for stroke in strokes:
        if stroke.clicks_before > done:
            yield clicks.between(done, stroke.clicks_before)
        yield stroke
        done = stroke.clicks_before
    if len(clicks) > done or not strokes:
        yield clicks.between(done, len(clicks))
