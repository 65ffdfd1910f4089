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
from trainer.simulation.simulated_user import MAX_JITTER_FRACTION, extreme_points, jitter
from trainer.synthesis.intensity_synthesis import SyntheticScan
from trainer.synthesis.label_synthesis import Scene
from trainer.synthesis.random_fields import log_uniform

__all__ = [
    "MAX_EXTENT",
    "OF_EVERY_KIND",
    "OF_ONE_KIND",
    "Augmentation",
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
_COMPACT_FILL = 0.35
"""Fill of its box that a target needs to count as compact: neighbours may have covered some of the body."""
_IN_PIECES_SHARE = 0.65
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


@dataclass(frozen=True, kw_only=True)
class Augmentation:
    """How often samples differ from the scans that they are made of: probabilities, each of one change.

    The defaults, :data:`OF_EVERY_KIND`, suit a network for every image; :data:`OF_ONE_KIND` suits one for images like
    those that it learns from.

    Attributes:
        permuted: The axes are permuted.
        mirrored: Each axis (z, y, x) is mirrored.
        inverted: Dark and bright are exchanged.
        curved: Contrast is compressed at one end.
        curve: Largest exponent of that; its inverse is the smallest.
        noisy: Noise is added.
        jittered: The points are jittered.
        boxed: A box replaces the points.
        truncated: The scan ends inside the target.
        coarse: A labelled image is resampled to a coarser grid along an axis.
    """

    permuted: float = 0.5
    mirrored: tuple[float, float, float] = (0.5, 0.5, 0.5)
    inverted: float = 0.3
    curved: float = 0.35
    curve: float = 2.0
    noisy: float = 0.15
    jittered: float = 0.5
    boxed: float = 0.125
    truncated: float = 0.15
    coarse: float = 0.3


OF_EVERY_KIND = Augmentation()
OF_ONE_KIND = Augmentation(
    permuted=0.0,
    # Left and right alone: which end of an organ is which is what a network can learn from few images.
    mirrored=(0.0, 0.0, 0.5),
    inverted=0.0,
    curved=0.2,
    curve=1.4,
    jittered=0.25,
    boxed=0.05,
    truncated=0.05,
    coarse=0.05,
)


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


def extract_targets(rng: Rng, scene: Scene, scan: SyntheticScan, *, limit: int, compact: bool = False) -> list[Crop]:
    """Extract targets of a scan: bodies with their parts, some parts alone, some regions of the background.

    Args:
        rng: Generator that draws the targets.
        scene: Scene that was scanned.
        scan: Simulated scan of the scene.
        limit: Maximum number of targets.
        compact: Whether to take whole bodies that fill much of their box only. Otherwise targets are dropped with a
            probability that grows with their fill.
    """
    labels = scan.labels
    whole = scene.parent[labels]
    parts = np.flatnonzero(scene.parent != np.arange(scene.count))
    bodies = np.setdiff1d(np.arange(scene.background + 1, scene.count), parts)
    candidates = [(whole, int(label)) for label in bodies]
    if not compact:
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
        crop = _crop_target(rng, scan, array, label, box, compact=compact)
        if crop is not None:
            crops.append(crop)
        if len(crops) >= limit:
            break
    return crops


def _crop_target(
    rng: Rng,
    scan: SyntheticScan,
    array: npt.NDArray[np.uint8],
    label: int,
    box: tuple[slice, slice, slice],
    *,
    compact: bool,
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
    if rng.random() > extent.max() / _AMPLE_EXTENT:
        return None
    fill = float(mask.mean())
    if fill < _COMPACT_FILL if compact else rng.random() > _SPARSE_FILL / fill:
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


def augment(rng: Rng, crop: Crop, augmentation: Augmentation) -> Crop:
    """Permute and mirror the axes of a crop at random, and change its contrast."""
    order = rng.permutation(3) if rng.random() < augmentation.permuted else np.arange(3)
    flips = tuple(slice(None, None, -1 if rng.random() < share else 1) for share in augmentation.mirrored)
    image = crop.image.transpose(order)[flips].astype(np.float32)
    if rng.random() < augmentation.inverted:
        image = -image
    if rng.random() < augmentation.curved:
        low, high = float(image.min()), float(image.max())
        # Imitates the response curves of other scanners: contrast is compressed at one end.
        exponent = np.float32(log_uniform(rng, 1 / augmentation.curve, augmentation.curve))
        image = ((image - low) / max(high - low, 1e-6)) ** exponent
    if rng.random() < augmentation.noisy:
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


def draw_sample(
    rng: Rng,
    crop: Crop,
    spec: ModelSpec,
    *,
    edge: int,
    augmentation: Augmentation | None = None,
    jitter_fraction: float = MAX_JITTER_FRACTION,
) -> TrainingSample:
    """Draw a sample of a crop.

    Args:
        rng: Generator that draws points and augmentation.
        crop: Target with its surroundings.
        spec: ROI and channels. The size of the ROI's grid is replaced.
        edge: Number of cells of the ROI's grid along each axis.
        augmentation: How often to change what. None: the crop is used as it is, with exact points.
        jitter_fraction: Fraction of the object's extent that jittered points move at most.
    """
    if augmentation is None:
        return sample_from_points(crop, extreme_points(rng, crop.mask), spec, edge=edge)
    cut_short = rng.random() < augmentation.truncated
    crop = augment(rng, truncate_scan(rng, crop) if cut_short else crop, augmentation)
    points = extreme_points(rng, crop.mask)
    if rng.random() < augmentation.jittered:
        points = jitter(rng, points, fraction=jitter_fraction)
    return sample_from_points(crop, points, spec, edge=edge, box=rng.random() < augmentation.boxed)
