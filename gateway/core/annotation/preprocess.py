"""From an image and prompts to a network's input, and from its output to a mask: pure functions."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from gateway.core.annotation.corrections import REACH, enforce_clicks, limit_change_to_clicks, quantise, threshold_count
from gateway.core.annotation.initial_mask import blend, sampled
from gateway.core.annotation.prompt_state import ObjectPrompts
from sixpoint._typing import Array, Bools, Counts, Float, Floating, Points, Size
from sixpoint.geometry import Geometry
from sixpoint.model_spec import ModelSpec
from sixpoint.preprocessing import kernels
from sixpoint.preprocessing.concurrency import PairRunner, run_serially
from sixpoint.preprocessing.guidance import (
    PromptGuidance,
    allocate_input,
    update_input,
    write_guidance_channels,
    write_image_channels,
)
from sixpoint.preprocessing.roi import Roi, SliceableArray
from sixpoint.preprocessing.thresholding import restore_mask

__all__ = [
    "NetworkInput",
    "Prediction",
    "brought",
    "correct",
    "decode_probabilities",
    "keep_touched",
    "prepare",
    "restore",
    "working_bytes",
]


# Input and output in numpy, and once more in messages.
_TENSORS = 3
# A byte for each voxel of the mask, and some for what is cut out of the image.
_VOXELS = 3
# Extreme points lie on the object's border, and the answer may end a little short of them.
_REACH_CELLS = 2


@dataclass(frozen=True, eq=False)
class Prediction:
    """The answer so far, which the next clicks correct.

    Attributes:
        probabilities: [z, y, x] on the ROI's grid, in 255ths.
        roi: The region of interest, in canonical index space.
    """

    probabilities: Counts
    roi: Roi


@dataclass(frozen=True, eq=False)
class NetworkInput:
    """Prompts made ready for their network.

    Attributes:
        tensor: The network's input, [channel, z, y, x].
        roi: The region of interest, in canonical index space.
        guide: What was shown, in the ROI's frame, with the previous answer on its grid.
        shown: What was shown, in canonical indices.
        spec: The model's.
    """

    tensor: Floating
    roi: Roi
    guide: PromptGuidance
    shown: ObjectPrompts
    spec: ModelSpec

    @property
    def nbytes(self) -> int:
        """Bytes that it holds in memory."""
        return self.tensor.nbytes + (0 if self.guide.previous is None else self.guide.previous.nbytes)

    def serves(self, roi: Roi, guide: PromptGuidance, spec: ModelSpec) -> bool:
        """Whether a tensor for these differs in the channels of clicks and of the previous answer alone."""
        return (
            self.spec is spec
            and self.roi == roi
            and np.array_equal(self.guide.box, guide.box)
            and np.array_equal(self.guide.extremes, guide.extremes)
        )


def prepare(
    reduced: Callable[[Size], SliceableArray],
    shown: ObjectPrompts,
    *,
    answered: Prediction | None = None,
    before: NetworkInput | None = None,
    geometry: Geometry,
    spec: ModelSpec,
    run_pair: PairRunner = run_serially,
) -> NetworkInput:
    """Cut the ROI out, resample it, normalise it, draw the guidance.

    Args:
        reduced: Gives the canonical image [z, y, x] reduced by so many voxels along (x, y, z); see
            :mod:`sixpoint.preprocessing.roi`.
        shown: What the person showed of the object.
        answered: The answer that the clicks correct; None when there is none yet.
        before: What was made ready for the call before, in the same image: what clicks leave as it was is taken over.
        geometry: Of the image as it came.
        spec: The model's.
        run_pair: Draws what voxels make and what they do not.
    """
    canonical = geometry.canonical()
    extent, clicks = shown.extent, shown.clicks
    # Round the voxels, not the points: a voxel whose centre lies outside of the ROI could not be put on its side.
    voxels = clicks.voxels(canonical.size)
    roi = Roi.from_points(
        extent.box, clicks=voxels, spacing=canonical.spacing, spec=spec.roi, image_size=canonical.size
    )
    previous = None
    if answered is None and extent.mask is not None:
        answered = brought(shown, geometry=geometry, spec=spec)
    if answered is not None:
        previous = decode_probabilities(answered.probabilities)
        if answered.roi != roi:
            previous = answered.roi.transfer(previous, roi)
    guide = PromptGuidance.in_roi(
        roi,
        box=extent.box,
        extremes=extent.extremes,
        positive=clicks.points[clicks.positive],
        negative=clicks.points[~clicks.positive],
        previous=previous,
        image_size=canonical.size,
    )
    if before is not None and before.serves(roi, guide, spec):
        tensor = update_input(before.tensor, guide, spec.input)
    else:
        x, y, z = roi.size
        tensor = allocate_input((z, y, x), spec.input)
        run_pair(
            lambda: write_image_channels(roi.resample(reduced(roi.reduction_factors)), guide, spec.input, out=tensor),
            lambda: write_guidance_channels(guide, spec.input, out=tensor),
        )
    return NetworkInput(tensor, roi, guide, shown, spec)


def brought(shown: ObjectPrompts, *, geometry: Geometry, spec: ModelSpec) -> Prediction:
    """The answer that is the mask that a person brought along.

    Args:
        shown: What the person showed of the object, which a mask began.
        geometry: Of the image as it came.
        spec: Of the model that is to correct it.
    """
    canonical = geometry.canonical()
    roi = Roi.from_points(shown.extent.box, spacing=canonical.spacing, spec=spec.roi, image_size=canonical.size)
    return Prediction(sampled(shown.extent, roi, size=canonical.size), roi)


def working_bytes(shown: ObjectPrompts, *, geometry: Geometry, spec: ModelSpec) -> int:
    """About how much memory an answer takes while it is made: tensors, voxels of the ROI, bits."""
    canonical = geometry.canonical()
    size = canonical.size
    clicks = shown.clicks.voxels(size)
    roi = Roi.from_points(shown.extent.box, clicks=clicks, spacing=canonical.spacing, spec=spec.roi, image_size=size)
    low, high = roi.voxel_bounds(size)
    voxels = math.prod(b - a for a, b in zip(low, high, strict=True))
    return _TENSORS * 4 * math.prod(spec.input_shape) + _VOXELS * voxels


def decode_probabilities(counts: Array) -> Float:
    """Probabilities in [0, 1] from what they travel as: uint8 counts of 255ths, or floating-point numbers."""
    grid = counts.astype(np.float32)
    return grid / np.float32(255.0) if counts.dtype == np.uint8 else grid


def correct(
    grid: Array, prepared: NetworkInput, *, geometry: Geometry, threshold: float, reach: float = REACH
) -> Prediction:
    """The answer as a person may expect it, from a network's probabilities.

    It is never empty, it changes nothing far from the new clicks, every clicked voxel is on its side, and only
    components that something shown touches are left.

    Args:
        grid: The network's probabilities [z, y, x] on the ROI's grid, in 255ths (uint8) or as floating-point numbers.
        prepared: What :func:`prepare` made.
        geometry: Of the image as it came.
        threshold: Probability from which on a voxel belongs to the object.
        reach: How far from a new click the answer may change, in edges of the ROI.
    """
    guide, clicks = prepared.guide, prepared.shown.clicks
    counts = _never_empty(grid, threshold)
    if guide.previous is not None:
        new = prepared.roi.normalise(clicks.points[len(clicks) - prepared.shown.new :])
        counts = limit_change_to_clicks(counts, quantise(guide.previous), new, threshold=threshold, reach=reach)
    voxels = clicks.voxels(geometry.canonical().size)
    counts = enforce_clicks(counts, voxels, clicks.positive, roi=prepared.roi, threshold=threshold)
    extent, size = prepared.shown.extent, geometry.canonical().size
    brought_along = (
        None if extent.mask is None else sampled(extent, prepared.roi, size=size) >= threshold_count(threshold)
    )
    kept = keep_touched(counts, guide.extremes, clicks=guide.positive, also=brought_along, threshold=threshold)
    return Prediction(kept, prepared.roi)


def restore(
    answered: Prediction,
    shown: ObjectPrompts,
    *,
    geometry: Geometry,
    threshold: float,
    run_pair: PairRunner = run_serially,
) -> tuple[Bools, tuple[int, int, int]]:
    """A mask on the image's own grid from an answer on the ROI's.

    Probabilities are resampled and cut at the threshold; then clicked voxels are set, so that they are exact where two
    opposite clicks lie side by side.

    Args:
        answered: What :func:`correct` made.
        shown: What the person showed of the object.
        geometry: Of the image as it came.
        threshold: Probability from which on a voxel belongs to the object.
        run_pair: Cuts the two halves of a large mask.

    Returns:
        A mask, bool [z, y, x] in the image's own axes, and the index (x, y, z) of its first voxel; outside of it there
        is nothing of the object.
    """
    size, orientation, clicks = geometry.canonical().size, geometry.orientation, shown.clicks
    voxels = clicks.voxels(size)
    mask, lower = restore_mask(
        answered.probabilities,
        answered.roi,
        image_size=size,
        threshold=threshold * 255,
        include=voxels[clicks.positive],
        flips=orientation.flips,
        run_pair=run_pair,
    )
    if shown.extent.mask is not None:
        mask, lower = blend(
            mask, lower, answered.probabilities, shown.extent, roi=answered.roi, size=size, threshold=threshold
        )
    upper = (lower[0] + mask.shape[2], lower[1] + mask.shape[1], lower[2] + mask.shape[0])
    for voxel, inside in zip(voxels, clicks.positive, strict=True):
        if (voxel >= lower).all() and (voxel < upper).all():
            x, y, z = voxel - lower
            mask[z, y, x] = inside
    first, _ = orientation.box_from_canonical(lower, upper, size=geometry.size)
    return orientation.from_canonical(mask), first


def keep_touched(
    grid: Counts,
    extremes: Points,
    *,
    clicks: Points,
    also: Bools | None = None,
    threshold: float,
) -> Counts:
    """Probabilities [z, y, x] without the components that neither an extreme point nor a positive click touches.

    Where no extreme point touches any, as for a box, the largest stays too: a click on a part that was missed must not
    cost the rest.

    Args:
        grid: Probabilities [z, y, x], in 255ths.
        extremes: Extreme points (x, y, z) in the ROI's frame (-1 to 1), shape [n, 3].
        clicks: Positive clicks, likewise.
        also: Cells [z, y, x] of a mask that was brought along: what touches them stays, too.
        threshold: Probability from which on cells belong to a component (26-connected).
    """
    labels, count = kernels.connected_components(grid >= threshold_count(threshold))
    if count <= 1:
        return grid
    kept = _touched(labels, extremes) or {int(np.bincount(labels.reshape(-1))[1:].argmax()) + 1}
    kept |= _touched(labels, clicks)
    if also is not None:
        kept |= set(np.unique(labels[also]).tolist()) - {0}
    # Label 0 is no component: what is below the threshold stays as it is.
    stays = np.zeros(count + 1, np.bool_)
    stays[[0, *kept]] = True
    return kernels.select_by_label(np.ascontiguousarray(grid), np.zeros_like(grid), labels=labels, table=stays)


def _touched(labels: Array, points: Points) -> set[int]:
    """The labels [z, y, x] within reach of points (x, y, z) in the ROI's frame."""
    shape = np.array(labels.shape)
    touched: set[int] = set()
    for cell in np.floor((points[:, ::-1] + 1.0) / 2.0 * shape).astype(int).clip(0, shape - 1):
        window = tuple(slice(max(0, c - _REACH_CELLS), c + _REACH_CELLS + 1) for c in cell)
        touched.update(labels[window].reshape(-1).tolist())
    return touched - {0}


def _never_empty(grid: Array, threshold: float) -> Counts:
    """Probabilities in 255ths; raised, where they are nowhere sure, so that half of their maximum is the threshold.

    Of a threshold above a half its share of their maximum is: a sure answer is cut at the threshold, whatever that is.
    No answer helps nobody.
    """
    most = float(grid.max()) / (255 if grid.dtype == np.uint8 else 1)
    level = most * max(threshold, 0.5)
    if 0 < level < threshold:
        grid = decode_probabilities(grid) * np.float32(threshold / level)
    return quantise(grid)
