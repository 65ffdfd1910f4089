"""From a painted scene to training samples, by the very functions that serve a person's clicks.

A :class:`Crop` is one target with enough of its surroundings for any ROI that its points can ask for; it is what the
pool keeps. :func:`sample` turns a crop into what the network sees, anew each time: other extreme points, jitter,
orientation and contrast.
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
"""Voxels along the longest side of a target."""
_AMPLE_EXTENT = 32
"""Targets below this are thinned out, the smaller the more: every scene is full of them."""
_MIN_FILL = 0.01
_SPARSE_FILL = 0.15
"""Targets that fill more of their box are thinned out, the more the more: three in ten organs in scans do not."""
_IN_PIECES_SHARE = 0.65
_BOX_SHARE = 0.125
_CUT_SHORT_SHARE = 0.15
_MIN_SLICES = 3
_CUT_SHARE = 0.35
"""Share of the border-cut candidates that are kept: they are many in small scans."""


@dataclass(frozen=True)
class Crop:
    """A target in its surroundings; where the crop ends nearer than :func:`context`, the scan ends.

    Attributes:
        image: Intensities [z, y, x], float16.
        mask: The target, [z, y, x].
    """

    image: npt.NDArray[np.float16]
    mask: Bools


@dataclass(frozen=True)
class TrainingSample:
    """One training sample.

    Attributes:
        channels: What the network sees, [channel, z, y, x], as
            ``sixpoint.preprocessing.guidance.network_input`` returns it.
        target: Share of each cell that the object fills, [z, y, x], float32 in [0, 1].
        guide: What the person showed, in the ROI's frame.
    """

    channels: Floating
    target: Float
    guidance: PromptGuidance


def extract_targets(rng: Rng, scene: Scene, scan: SyntheticScan, *, limit: int) -> list[Crop]:
    """Up to ``most`` targets of one scan: bodies with their parts, some parts alone, some regions of the background."""
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
    """A label, or its largest component, with its surroundings; None when it makes no useful target."""
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
    # Bodies a few slices thick are real; specks and scene-filling regions are not worth a sample.
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
    """Voxels to keep on each side of a target of ``extent``: the ROI's margin, jitter and the kernel's reach."""
    return math.ceil(0.3 * extent) + 7


def truncate_scan(rng: Rng, crop: Crop) -> Crop:
    """The part of a target that is in a scan which ends within it, on one side or both, as slabs and short scans do."""
    axis = int(rng.integers(3))
    lines = np.flatnonzero(crop.mask.any(axis=tuple(other for other in range(3) if other != axis)))
    low, high = int(lines[0]), int(lines[-1]) + 1
    kept = max(_MIN_SLICES, round((high - low) * rng.uniform(0.3, 0.9)))
    if kept >= high - low:
        return crop
    first = int(rng.integers(low, high - kept + 1))
    first, last = {0: (first, first + kept), 1: (0, low + kept), 2: (high - kept, crop.mask.shape[axis])}[
        int(rng.integers(3))
    ]
    part = tuple(slice(first, last) if other == axis else slice(None) for other in range(3))
    if int(crop.mask[part].sum()) < _MIN_VOXELS:
        return crop
    return Crop(image=crop.image[part], mask=crop.mask[part])


def augment(rng: Rng, crop: Crop) -> Crop:
    """The same target, turned, mirrored and in another contrast."""
    order = rng.permutation(3) if rng.random() < 0.5 else np.arange(3)
    flips = tuple(slice(None, None, int(step)) for step in rng.choice([-1, 1], 3))
    image = crop.image.transpose(order)[flips].astype(np.float32)
    if rng.random() < 0.3:
        image = -image
    if rng.random() < 0.35:
        low, high = float(image.min()), float(image.max())
        # In place of other scanners' curves: contrasts are squeezed at one end.
        image = ((image - low) / max(high - low, 1e-6)) ** np.float32(log_uniform(rng, 0.5, 2.0))
    if rng.random() < 0.15:
        image = image + np.float32(rng.uniform(0, 0.15) * image.std()) * rng.standard_normal(image.shape, np.float32)
    return Crop(image=image.astype(np.float16), mask=crop.mask.transpose(order)[flips])


def sample_from_points(crop: Crop, points: Points, spec: ModelSpec, *, edge: int, box: bool = False) -> TrainingSample:
    """The sample of a crop for given points (x, y, z indices of the crop), as serving would see it.

    Args:
        crop: The target and its surroundings.
        points: The extreme points, shape [n, 3].
        spec: ROI and channels; its ROI's size is replaced.
        edge: Cells of the ROI's grid along each axis.
        box: Whether the person drew the points' box instead of clicking the points.
    """
    roi_spec = spec.roi.model_copy(update={"size": (edge, edge, edge)})
    roi = Roi.from_points(points, spacing=(1.0, 1.0, 1.0), spec=roi_spec)
    z, y, x = crop.image.shape
    guide = PromptGuidance.in_roi(
        roi,
        box=(points.min(axis=0), points.max(axis=0)),
        extremes=points[:0] if box else points,
        image_size=(x, y, z),
    )
    return TrainingSample(
        channels=network_input(roi.extract(crop.image), guide, spec.input),
        target=roi.extract(crop.mask),
        guidance=guide,
    )


def draw_sample(rng: Rng, crop: Crop, spec: ModelSpec, *, edge: int, augmented: bool = True) -> TrainingSample:
    """A sample of a crop; ``varied=False``: as it is, with exact points.

    Otherwise augmented, half of the time with points that miss, one time in eight with a box for the points, and one
    time in seven in a scan that ends within the target.
    """
    if augmented:
        crop = augment(rng, truncate_scan(rng, crop) if rng.random() < _CUT_SHORT_SHARE else crop)
    points = extreme_points(rng, crop.mask)
    if augmented and rng.random() < 0.5:
        points = jitter(rng, points)
    return sample_from_points(crop, points, spec, edge=edge, box=augmented and rng.random() < _BOX_SHARE)
