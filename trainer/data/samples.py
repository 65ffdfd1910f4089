"""Make training samples of scans, with the same functions that the gateway uses.

A :class:`Crop` is a target with enough surroundings for any ROI that its points can lead to. The pool keeps crops.
:func:`draw_sample` makes a new sample of a crop each time: other extreme points, jitter, orientation and contrast.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from sixpoint._typing import Bools, Float, Floating, Points, Rng
from sixpoint.model_spec import ModelSpec
from sixpoint.preprocessing import PromptGuidance, Roi, network_input
from trainer.simulation.simulated_user import extreme_points, jitter
from trainer.synthesis.intensity_synthesis import SyntheticScan
from trainer.synthesis.label_synthesis import Scene
from trainer.synthesis.random_fields import log_uniform

__all__ = [
    "MAX_EXTENT",
    "Crop",
    "TrainingSample",
    "augment",
    "context_margin",
    "draw_sample",
    "extract_targets",
    "sample_from_points",
    "truncate_scan",
]


_MIN_VOXELS = 40
MAX_EXTENT = 104
"""Maximum extent of a target along any axis, in voxels."""
_AMPLE_EXTENT = 32
"""Targets of smaller extent are dropped with a probability that grows as they shrink: scenes have many of them."""
_MIN_FILL = 0.01
_SPARSE_FILL = 0.15
"""Targets that fill more of their box are dropped with growing probability: three in ten organs in scans fill less."""
_IN_PIECES_SHARE = 0.65
_BOX_SHARE = 0.125
_CUT_SHORT_SHARE = 0.15
_MIN_SLICES = 3
_CUT_SHARE = 0.35
"""Fraction kept of the candidates that the scan's border cuts: small scans have many of them."""


@dataclass(frozen=True)
class Crop:
    """A target with its surroundings. Where a crop has less than :func:`context_margin` of them, the scan ends.

    Attributes:
        image: Intensities [z, y, x], float16.
        mask: Voxels of the target, bool [z, y, x].
        label: Number of the target in the label file of a labelled image; 0 for a synthetic one.
    """

    image: npt.NDArray[np.float16]
    mask: Bools
    label: int = 0


@dataclass(frozen=True)
class TrainingSample:
    """A training sample.

    Attributes:
        channels: Network input, [channel, z, y, x], as ``sixpoint.preprocessing.guidance.network_input`` returns it.
        target: Fraction of each cell that the object fills, [z, y, x], float32 in [0, 1].
        guidance: Prompts in the ROI's frame.
    """

    channels: Floating
    target: Float
    guidance: PromptGuidance


def extract_targets(rng: Rng, scene: Scene, scan: SyntheticScan, *, limit: int) -> list[Crop]:
    """Extract targets of a scan: bodies with their parts, some parts alone, some regions of the background.

    Args:
        rng: Generator that draws the targets.
        scene: Scene that was scanned.
        scan: Simulated scan of the scene.
        limit: Maximum number of targets.
    """
    labels = scan.labels
    whole = scene.parent[labels]
    parts = np.flatnonzero(scene.parent != np.arange(scene.count))
    bodies = np.setdiff1d(np.arange(scene.background + 1, scene.count), parts)
    candidates = [(whole, int(label)) for label in bodies]
    candidates += [(labels, int(label)) for label in parts if rng.random() < 0.4]
    regions = rng.permutation(np.arange(1, scene.background + 1))
    candidates += [(whole, int(label)) for label in regions[: max(1, len(bodies) // 4)]]
    boxes = {id(array): ndimage.find_objects(array, max_label=scene.count) for array in (labels, whole)}
    crops: list[Crop] = []
    for index in rng.permutation(len(candidates)):
        array, label = candidates[index]
        box = boxes[id(array)][label - 1]
        if box is None:
            continue
        crop = _crop_target(rng, scan, array, label, box)
        if crop is not None:
            crops.append(crop)
        if len(crops) >= limit:
            break
    return crops


def _crop_target(
    rng: Rng, scan: SyntheticScan, array: npt.NDArray[np.uint8], label: int, box: tuple[slice, slice, slice]
) -> Crop | None:
    """Crop a label, or its largest component, with its surroundings; None if it is no useful target."""
    mask = array[box] == label
    pieces, count = ndimage.label(mask)
    if count > 1 and rng.random() > _IN_PIECES_SHARE:
        mask = pieces == 1 + int(np.argmax(np.bincount(pieces.reshape(-1))[1:]))
    if int(mask.sum()) < _MIN_VOXELS:
        return None
    tight = ndimage.find_objects(mask.astype(np.uint8))[0]
    low = np.array([outer.start + inner.start for outer, inner in zip(box, tight, strict=True)])
    mask = mask[tight]
    extent = np.array(mask.shape)
    # Organs a few slices thick exist. Specks and regions that fill the scene are not worth a sample.
    if extent.min() < 3 or extent.max() < 6 or extent.max() > MAX_EXTENT or mask.mean() < _MIN_FILL:
        return None
    if rng.random() > extent.max() / _AMPLE_EXTENT or rng.random() > _SPARSE_FILL / mask.mean():
        return None
    cut = (low == 0).astype(int) + (low + extent == array.shape)
    if cut.sum() > 3 or (cut.any() and rng.random() > _CUT_SHARE):
        return None
    first = np.maximum(low - [context_margin(int(n)) for n in extent], 0)
    last = np.minimum(low + extent + [context_margin(int(n)) for n in extent], array.shape)
    image = scan.image[first[0] : last[0], first[1] : last[1], first[2] : last[2]].astype(np.float16)
    surrounded = np.zeros(image.shape, np.bool_)
    place = low - first
    surrounded[tuple(slice(a, a + n) for a, n in zip(place, extent, strict=True))] = mask
    return Crop(image=image, mask=surrounded)


def context_margin(extent: int) -> int:
    """Return the voxels to keep on each side of a target: ROI margin, jitter and the reach of the resampling kernel."""
    return math.ceil(0.3 * extent) + 7


def truncate_scan(rng: Rng, crop: Crop) -> Crop:
    """Shorten the scan of a crop so that it ends inside the target, on one side or both, as slabs do."""
    axis = int(rng.integers(3))
    lines = np.flatnonzero(crop.mask.any(axis=tuple(other for other in range(3) if other != axis)))
    low, high = int(lines[0]), int(lines[-1]) + 1
    slices = max(_MIN_SLICES, round((high - low) * rng.uniform(0.3, 0.9)))
    if slices >= high - low:
        return crop
    first = int(rng.integers(low, high - slices + 1))
    first, last = {0: (first, first + slices), 1: (0, low + slices), 2: (high - slices, crop.mask.shape[axis])}[
        int(rng.integers(3))
    ]
    part = tuple(slice(first, last) if other == axis else slice(None) for other in range(3))
    if int(crop.mask[part].sum()) < _MIN_VOXELS:
        return crop
    return Crop(image=crop.image[part], mask=crop.mask[part])


def augment(rng: Rng, crop: Crop) -> Crop:
    """Permute and mirror the axes of a crop at random, and change its contrast."""
    order = rng.permutation(3) if rng.random() < 0.5 else np.arange(3)
    flips = tuple(slice(None, None, int(step)) for step in rng.choice([-1, 1], 3))
    image = crop.image.transpose(order)[flips].astype(np.float32)
    if rng.random() < 0.3:
        image = -image
    if rng.random() < 0.35:
        low, high = float(image.min()), float(image.max())
        # Imitates the response curves of other scanners: contrast is compressed at one end.
        image = ((image - low) / max(high - low, 1e-6)) ** np.float32(log_uniform(rng, 0.5, 2.0))
    if rng.random() < 0.15:
        image = image + np.float32(rng.uniform(0, 0.15) * image.std()) * rng.standard_normal(image.shape, np.float32)
    return Crop(image=image.astype(np.float16), mask=crop.mask.transpose(order)[flips])


def sample_from_points(crop: Crop, points: Points, spec: ModelSpec, *, edge: int, box: bool = False) -> TrainingSample:
    """Make the sample of a crop for given points, as the gateway would make the network's input.

    Args:
        crop: Target with its surroundings.
        points: Extreme points, (x, y, z) indices of the crop, shape [n, 3].
        spec: ROI and channels. The size of the ROI's grid is replaced.
        edge: Number of cells of the ROI's grid along each axis.
        box: Whether the prompt is the box of the points instead of the points.
    """
    roi_spec = spec.roi.model_copy(update={"size": (edge, edge, edge)})
    roi = Roi.from_points(points, spacing=(1.0, 1.0, 1.0), spec=roi_spec)
    z, y, x = crop.image.shape
    guidance = PromptGuidance.in_roi(
        roi,
        box=(points.min(axis=0), points.max(axis=0)),
        extremes=points[:0] if box else points,
        image_size=(x, y, z),
    )
    return TrainingSample(
        channels=network_input(roi.extract(crop.image), guidance, spec.input),
        target=roi.extract(crop.mask),
        guidance=guidance,
    )


def draw_sample(rng: Rng, crop: Crop, spec: ModelSpec, *, edge: int, augmented: bool = True) -> TrainingSample:
    """Draw a sample of a crop.

    Args:
        rng: Generator that draws points and augmentation.
        crop: Target with its surroundings.
        spec: ROI and channels. The size of the ROI's grid is replaced.
        edge: Number of cells of the ROI's grid along each axis.
        augmented: Whether to augment: the crop is permuted and its contrast changed, half of the samples have jittered
            points, one in eight has a box instead of points, and one in seven a scan that ends inside the target.
            Otherwise the crop is used as it is, with exact points.
    """
    if augmented:
        crop = augment(rng, truncate_scan(rng, crop) if rng.random() < _CUT_SHORT_SHARE else crop)
    points = extreme_points(rng, crop.mask)
    if augmented and rng.random() < 0.5:
        points = jitter(rng, points)
    return sample_from_points(crop, points, spec, edge=edge, box=augmented and rng.random() < _BOX_SHARE)
