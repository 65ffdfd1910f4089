"""From an image and points to a network's input, and from its output to a mask: pure functions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk

from sixpoint.geometry import Geometry
from sixpoint.guidance import network_input
from sixpoint.roi import Roi
from sixpoint.spec import ModelSpec

__all__ = ["Prepared", "decode_probabilities", "keep_touched", "prepare", "restore"]

Float = npt.NDArray[np.float32]
Points = npt.NDArray[np.float64]

# Extreme points lie on the object's border, and the answer may end a little short of them.
_REACH_CELLS = 2


@dataclass(frozen=True, eq=False)
class Prepared:
    """A prompt made ready for its network.

    Attributes:
        tensor: The network's input, [channel, z, y, x].
        roi: The region of interest, in canonical index space.
        points: The points (x, y, z) in the ROI's frame, shape [n, 3].
    """

    tensor: npt.NDArray[np.floating]
    roi: Roi
    points: Points


def prepare(image: npt.NDArray[Any], points: Points, *, geometry: Geometry, spec: ModelSpec) -> Prepared:
    """Cut the ROI out, resample it, normalise it, draw the guidance.

    Args:
        image: Canonical voxels [z, y, x].
        points: Indices (x, y, z) of the image as it came, shape [n, 3].
        geometry: Of the image as it came.
        spec: The model's.
    """
    canonical = geometry.orientation.index_to_canonical(points, size=geometry.size)
    roi = Roi.around(canonical, spacing=geometry.canonical().spacing, spec=spec.roi)
    inside = roi.normalise(canonical)
    return Prepared(network_input(roi.extract(image), inside, spec.input), roi, inside)


def decode_probabilities(output: npt.NDArray[Any]) -> Float:
    """Probabilities in [0, 1], [z, y, x], from a network's output [1, z, y, x] (uint8 counts in 255ths)."""
    grid = output[0].astype(np.float32)
    return grid / np.float32(255.0) if output.dtype == np.uint8 else grid


def restore(
    grid: Float, prepared: Prepared, *, geometry: Geometry, threshold: float
) -> tuple[npt.NDArray[np.bool_], tuple[int, int, int]]:
    """A mask on the image's own grid from probabilities on the ROI's.

    The components that no point touches are dropped; the others are resampled back as probabilities and cut at the
    threshold. An answer that is nowhere sure is cut at half of its own maximum instead: no answer helps nobody.

    Args:
        grid: Probabilities [z, y, x] on the ROI's grid.
        prepared: What :func:`prepare` made.
        geometry: Of the image as it came.
        threshold: Probability from which on a voxel belongs to the object.

    Returns:
        The mask of the voxels that the ROI covers, bool [z, y, x] in the image's own axes, and the index (x, y, z) of
        the first of them.
    """
    cut = min(threshold, float(grid.max()) / 2 or threshold)
    kept = keep_touched(grid, prepared.points, cut)
    canonical_size = geometry.canonical().size
    values, lower = prepared.roi.restore(kept, size=canonical_size)
    upper = (lower[0] + values.shape[2], lower[1] + values.shape[1], lower[2] + values.shape[0])
    orientation = geometry.orientation
    first, _ = orientation.box_from_canonical(lower, upper, size=geometry.size)
    return orientation.from_canonical(values >= np.float32(cut)), first


def keep_touched(grid: Float, points: Points, threshold: float) -> Float:
    """Probabilities [z, y, x] without the components that no point touches; without any touched, the largest stays.

    Args:
        grid: Probabilities [z, y, x].
        points: (x, y, z) in the ROI's frame (-1 to 1), shape [n, 3].
        threshold: Probability from which on cells belong to a component (26-connected).
    """
    inside = grid >= threshold
    image = sitk.ConnectedComponent(sitk.GetImageFromArray(inside.astype(np.uint8)), True)
    labels = sitk.GetArrayViewFromImage(image)
    if labels.max() <= 1:
        return grid
    shape = np.array(grid.shape)
    cells = np.floor((points[:, ::-1] + 1.0) / 2.0 * shape).astype(int).clip(0, shape - 1)
    touched: set[int] = set()
    for cell in cells:
        window = tuple(slice(max(0, c - _REACH_CELLS), c + _REACH_CELLS + 1) for c in cell)
        touched.update(np.unique(labels[window]).tolist())
    touched.discard(0)
    if not touched:
        touched = {int(np.bincount(labels.reshape(-1))[1:].argmax()) + 1}
    return np.where(inside & ~np.isin(labels, sorted(touched)), np.float32(0), grid)
