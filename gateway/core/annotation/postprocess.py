"""Turn a network's output into a prediction, and a prediction into a mask on the image's own grid: pure functions."""

from __future__ import annotations

import numpy as np

from gateway.core.annotation.corrections import REACH, limit_change_to_clicks, quantise, threshold_count
from gateway.core.annotation.initial_mask import merge_changes, sample_mask
from gateway.core.annotation.preprocess import NetworkInput, Prediction
from gateway.core.annotation.prompt_state import ObjectPrompts
from gateway.core.annotation.strokes import enforce_prompts, positive_corners, stroke_samples, write_prompts
from gateway.core.runtime import decode_probabilities
from sixpoint._typing import Array, Bools, Counts, Points
from sixpoint.concurrency import PairRunner, run_serially
from sixpoint.geometry import Geometry
from sixpoint.preprocessing import cells_of_voxels, connected_components, restore_mask, select_by_label

__all__ = ["keep_touched_components", "postprocess", "render_mask"]


# Extreme points are on the object's border, and the predicted object may end a little short of them.
_REACH_CELLS = 2


def postprocess(
    probabilities: Array, network_input: NetworkInput, *, geometry: Geometry, threshold: float, reach: float = REACH
) -> Prediction:
    """Correct a network's probabilities so that they respect the prompts.

    The prediction is not empty, changes only near the new clicks and strokes, has every clicked voxel on the side that
    its click says, and keeps only components that a prompt touches. If an initial mask started the object, negative
    clicks alone raise no probability.

    Args:
        probabilities: Output of the network [z, y, x] on the ROI's grid: 255ths (uint8) or floating-point.
        network_input: Result of :func:`gateway.core.annotation.preprocess.prepare`.
        geometry: Geometry of the image as uploaded.
        threshold: Smallest probability of the object's voxels.
        reach: Distance from a new click within which the prediction may change, in edges of the ROI.
    """
    roi, guidance, prompts = network_input.roi, network_input.guidance, network_input.prompts
    extent, clicks, size = prompts.extent, prompts.clicks, geometry.canonical().size
    counts = _raise_faint_prediction(probabilities, threshold)
    if guidance.previous is not None:
        strokes = prompts.strokes[len(prompts.strokes) - prompts.new_strokes :]
        near = np.concatenate([clicks.points[len(clicks) - prompts.new_clicks :], stroke_samples(strokes)])
        new = roi.normalise(near)
        previous = quantise(guidance.previous)
        counts = limit_change_to_clicks(counts, previous, new, threshold=threshold, reach=reach)
        if extent.mask is not None and not prompts.positive_new_clicks.any():
            # A person brought this mask along: where they say only that it is too large, it grows nowhere else.
            counts = np.minimum(counts, previous)
    counts = enforce_prompts(counts, clicks, prompts.strokes, roi=roi, size=size, threshold=threshold)
    touched = np.zeros(counts.shape, np.bool_)
    if extent.mask is not None:
        touched |= sample_mask(extent, roi, size=size) >= threshold_count(threshold)
    for stroke in prompts.strokes:
        if stroke.positive:
            touched |= cells_of_voxels(stroke.voxels, roi)
    counts = keep_touched_components(
        counts, guidance.extremes, clicks=guidance.positive, also_touched_by=touched, threshold=threshold
    )
    return Prediction(counts, roi)


def render_mask(
    prediction: Prediction,
    prompts: ObjectPrompts,
    *,
    geometry: Geometry,
    threshold: float,
    run_pair: PairRunner = run_serially,
) -> tuple[Bools, tuple[int, int, int]]:
    """Resample a prediction onto the image's own grid and cut it at the threshold.

    The voxels of clicks and strokes are set last, so that they are right even beside opposite ones, and where a cell
    spans several voxels.

    Args:
        prediction: Result of :func:`postprocess`.
        prompts: Prompts for the object so far.
        geometry: Geometry of the image as uploaded.
        threshold: Smallest probability of the object's voxels.
        run_pair: Function that runs the two halves of a large mask.

    Returns:
        A mask, bool [z, y, x] in the image's own axes, and the index (x, y, z) of its first voxel in the image; all
        voxels outside are background.
    """
    size, orientation, clicks = geometry.canonical().size, geometry.orientation, prompts.clicks
    include = np.concatenate([clicks.voxels(size)[clicks.positive], positive_corners(prompts.strokes)])
    mask, lower = restore_mask(
        prediction.probabilities,
        prediction.roi,
        image_size=size,
        threshold=threshold * 255,
        include=include,
        flips=orientation.flips,
        run_pair=run_pair,
    )
    if prompts.extent.mask is not None:
        mask, lower = merge_changes(
            mask,
            lower,
            prediction.probabilities,
            prompts.extent,
            roi=prediction.roi,
            size=size,
            threshold=threshold,
            may_grow=bool(clicks.positive.any()),
        )
    upper = (lower[0] + mask.shape[2], lower[1] + mask.shape[1], lower[2] + mask.shape[0])
    write_prompts(mask, lower, clicks, prompts.strokes, size=size)
    first, _ = orientation.box_from_canonical(lower, upper, size=geometry.size)
    return orientation.from_canonical(mask), first


def keep_touched_components(
    counts: Counts,
    extremes: Points,
    *,
    clicks: Points,
    also_touched_by: Bools | None = None,
    threshold: float,
) -> Counts:
    """Remove the components that neither an extreme point nor a positive click touches.

    If no extreme point touches any component, as for a box, the largest component stays as well: a click on a missed
    part must not remove the rest.

    Args:
        counts: Probabilities [z, y, x], in 255ths.
        extremes: Extreme points (x, y, z) in the ROI's frame (-1 to 1), shape [n, 3].
        clicks: Positive clicks (x, y, z) in the ROI's frame (-1 to 1), shape [n, 3].
        also_touched_by: Cells [z, y, x] of the initial mask and of positive strokes, bool: components that overlap them
            stay as well.
        threshold: Smallest probability of a component's cells (26-connected).
    """
    labels, count = connected_components(counts >= threshold_count(threshold))
    if count <= 1:
        return counts
    touched = _labels_near(labels, extremes) or {int(np.bincount(labels.reshape(-1))[1:].argmax()) + 1}
    touched |= _labels_near(labels, clicks)
    if also_touched_by is not None:
        touched |= set(np.unique(labels[also_touched_by]).tolist()) - {0}
    # Label 0 is not a component: cells below the threshold keep their probabilities.
    keep = np.zeros(count + 1, np.bool_)
    keep[[0, *touched]] = True
    return select_by_label(np.ascontiguousarray(counts), np.zeros_like(counts), labels=labels, table=keep)


def _labels_near(labels: Array, points: Points) -> set[int]:
    """Find the labels [z, y, x] within reach of points (x, y, z) in the ROI's frame."""
    shape = np.array(labels.shape)
    near: set[int] = set()
    for cell in np.floor((points[:, ::-1] + 1.0) / 2.0 * shape).astype(int).clip(0, shape - 1):
        window = tuple(slice(max(0, c - _REACH_CELLS), c + _REACH_CELLS + 1) for c in cell)
        near.update(labels[window].reshape(-1).tolist())
    return near - {0}


def _raise_faint_prediction(probabilities: Array, threshold: float) -> Counts:
    """Scale probabilities that are low everywhere so that the object is not empty; return 255ths.

    Half of the maximum becomes the threshold, or a share of the maximum equal to the threshold if that is above one
    half. A confident prediction stays as it is.
    """
    maximum = float(probabilities.max()) / (255 if probabilities.dtype == np.uint8 else 1)
    level = maximum * max(threshold, 0.5)
    if 0 < level < threshold:
        probabilities = decode_probabilities(probabilities) * np.float32(threshold / level)
    return quantise(probabilities)
