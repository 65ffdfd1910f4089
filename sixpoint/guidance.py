"""How a network sees an image and what a person showed: the one place where prompts become tensors.

Everything is computed in the ROI's own frame, where the box runs from -1 to 1 along each axis, so that the channels
depend neither on the grid's size nor on the image's spacing. The trainer and the gateway both call
:func:`network_input`.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from typing import Self

import numpy as np
import numpy.typing as npt

from sixpoint.half import to_half
from sixpoint.maps import centres, ellipsoid_map, field_of_view, heatmap, hull_map
from sixpoint.roi import Roi, Size
from sixpoint.spec import (
    Channel,
    ClickChannel,
    EllipsoidChannel,
    FieldOfViewChannel,
    HeatmapChannel,
    HullChannel,
    ImageChannel,
    InputSpec,
    Intensity,
    PreviousChannel,
)

__all__ = ["Guide", "network_input", "volume_input", "window"]

Float = npt.NDArray[np.float32]
Points = npt.NDArray[np.float64]
Shape = tuple[int, int, int]
Percentiles = Callable[[float, float], tuple[float, float]]

# Spread of a normal distribution in median absolute deviations.
_MAD = 1.4826
# The smallest window: its inverse is still a finite float32.
_TINY = 1e-37
# Statistics read every second voxel of each axis: an eighth of the cost, the same medians to a fraction of their error.
_SPARSE = (slice(None, None, 2),) * 3


def _no_points() -> Points:
    return np.empty((0, 3))


@dataclass(frozen=True, eq=False, kw_only=True)
class Guide:
    """What a person showed, in the ROI's own frame (-1 to 1 along each axis); points are (x, y, z).

    Attributes:
        box: Lower and upper corner of the extreme points' box, or of the box that was drawn, shape [2, 3].
        extremes: The extreme points, shape [n, 3]; none when a box was drawn.
        positive: Positive clicks, shape [n, 3].
        negative: Negative clicks, shape [n, 3].
        previous: The answer that the clicks correct: probabilities [z, y, x] on the ROI's grid; None before the first.
        scan: Lower and upper face of the image, beyond which there are no voxels, shape [2, 3].
    """

    box: Points
    extremes: Points = field(default_factory=_no_points)
    positive: Points = field(default_factory=_no_points)
    negative: Points = field(default_factory=_no_points)
    previous: Float | None = None
    scan: Points

    @classmethod
    def within(
        cls,
        roi: Roi,
        *,
        box: npt.ArrayLike,
        extremes: npt.ArrayLike = (),
        positive: npt.ArrayLike = (),
        negative: npt.ArrayLike = (),
        previous: Float | None = None,
        size: Size,
    ) -> Self:
        """The guide of prompts given as canonical indices (x, y, z).

        Args:
            roi: The ROI that the network will see.
            box: Lower and upper corner, shape [2, 3].
            extremes: Extreme points, shape [n, 3].
            positive: Positive clicks, shape [n, 3].
            negative: Negative clicks, shape [n, 3].
            previous: The answer so far, on the grid of ``roi``.
            size: Of the canonical image, (x, y, z).
        """
        return cls(
            box=roi.normalise(box),
            extremes=roi.normalise(extremes),
            positive=roi.normalise(positive),
            negative=roi.normalise(negative),
            previous=previous,
            scan=roi.normalise([(-0.5, -0.5, -0.5), tuple(n - 0.5 for n in size)]),
        )


def network_input(image: Float, guide: Guide, spec: InputSpec) -> npt.NDArray[np.floating]:
    """The tensor that a network gets for one ROI.

    Args:
        image: The ROI's voxels [z, y, x], in the image's own units.
        guide: What the person showed.
        spec: Which channels, in which order, and the dtype.

    Returns:
        Array [channel, z, y, x], float16 or float32 as ``spec.dtype`` says.
    """
    shape = _shape(image)
    result = np.empty((len(spec.channels), *shape), np.float16 if spec.dtype == "FP16" else np.float32)
    # Channels often ask for the same ones.
    percentiles = cache(lambda low, high: _percentiles(image, low, high))
    for index, channel in enumerate(spec.channels):
        values = _channel(channel, image, guide, shape, percentiles)
        if isinstance(values, float) or spec.dtype != "FP16":
            result[index] = values
        else:
            to_half(values, out=result[index])
    return result


def volume_input(image: Float, spec: InputSpec) -> npt.NDArray[np.floating]:
    """The tensor of which a network without prompts sees one patch at a time.

    Args:
        image: The whole volume [z, y, x] on the network's spacing, in its own units; percentiles are those of it all.
        spec: Image channels by percentile, range or z-score, in which order, and the dtype.

    Returns:
        Array [channel, z, y, x], float16 or float32 as ``spec.dtype`` says. Beyond the volume a network sees what its
        spec's patch says, in the same numbers: -1 unless told otherwise.
    """
    whole = np.array([[-1.0] * 3, [1.0] * 3])
    return network_input(image, Guide(box=whole, scan=whole), spec)


def _channel(channel: Channel, image: Float, guide: Guide, shape: Shape, percentiles: Percentiles) -> Float | float:
    """One channel, or the one number that it is everywhere."""
    match channel:
        case ImageChannel():
            return _window(image, guide, channel.intensity, percentiles)
        case HeatmapChannel():
            return heatmap(guide.extremes, shape=shape, sigma=channel.sigma) if len(guide.extremes) else 0.0
        case ClickChannel():
            clicks = guide.positive if channel.sign == "positive" else guide.negative
            return heatmap(clicks, shape=shape, sigma=channel.sigma) if len(clicks) else 0.0
        case PreviousChannel():
            return 0.0 if guide.previous is None else guide.previous
        case FieldOfViewChannel():
            within = (guide.scan[0] <= -1.0).all() and (guide.scan[1] >= 1.0).all()
            return 1.0 if within else field_of_view(guide.scan, shape=shape)
        case EllipsoidChannel():
            return ellipsoid_map(guide.box, shape=shape)
        case HullChannel():
            return hull_map(guide.extremes if len(guide.extremes) else _corners(guide.box), shape=shape)


def window(image: Float, guide: Guide, intensity: Intensity) -> Float:
    """Voxels [z, y, x] under an intensity window, clipped to [-1, 1]."""
    return _window(image, guide, intensity, lambda low, high: _percentiles(image, low, high))


def _percentiles(image: Float, low: float, high: float) -> tuple[float, float]:
    """Two percentiles of an image [z, y, x], in percent."""
    # Of the least and the largest voxel a sample would miss one.
    sample = image if (low, high) == (0, 100) else image[_SPARSE]
    below, above = np.percentile(sample, [low, high]).tolist()
    return below, above


def _window(image: Float, guide: Guide, intensity: Intensity, percentiles: Percentiles) -> Float:
    if intensity.nonzero or intensity.method == "zscore":
        image, low, high = _of_all_voxels(image, intensity)
    elif intensity.method == "range":
        low, high = intensity.low, intensity.high
    else:
        low, high = percentiles(intensity.low, intensity.high)
        if intensity.method != "percentile":
            near = intensity.method == "points" and len(guide.extremes)
            inside = _near_points(image, guide.extremes) if near else _inner_ellipsoid(image, guide.box)
            # In double precision: the mean of two float32 voxels may be beyond float32.
            inside = inside.astype(np.float64)
            median = float(np.median(inside))
            # A floor, so that a body without noise or texture does not blow its window up.
            spread = max(_MAD * float(np.median(np.abs(inside - median))), 0.02 * (high - low))
            low, high = median - intensity.width * spread, median + intensity.width * spread
    # The floor only keeps constant images from a division by nothing; it follows their units, which may be tiny.
    scale = 2.0 / max(high - low, 1e-6 * max(abs(low), abs(high)), _TINY)
    result = image - np.float32((low + high) / 2)
    result *= np.float32(scale)
    np.maximum(result, -1.0, out=result)
    return np.minimum(result, 1.0, out=result)


def _of_all_voxels(image: Float, intensity: Intensity) -> tuple[Float, float, float]:
    """The image without its background, where that is 0, and what goes to -1 and 1, by statistics of every voxel."""
    seen = image
    if intensity.nonzero and np.count_nonzero(image):
        seen = image[image != 0]
        image = np.where(image == 0, np.float32(seen.mean(dtype=np.float64)), image)
    if intensity.method == "percentile":
        low, high = np.percentile(seen, [intensity.low, intensity.high]).tolist()
        return image, low, high
    mean, deviation = float(seen.mean(dtype=np.float64)), float(seen.std(dtype=np.float64))
    return image, mean - intensity.width * deviation, mean + intensity.width * deviation


def _inner_ellipsoid(image: Float, points: Points) -> Float:
    """Voxels within half the radii of the points' ellipsoid."""
    low, high = points.min(axis=0), points.max(axis=0)
    middle, half = (low + high) / 2, np.maximum((high - low) / 2, 1e-6)
    z, y, x = (
        (((axis[::2] - c) / h) ** 2).astype(np.float32)
        for axis, c, h in zip(centres(_shape(image)), middle[::-1], half[::-1], strict=True)
    )
    inside = image[_SPARSE][z[:, None, None] + (y[:, None] + x) < 0.25]
    return inside if inside.size else image.reshape(-1)


def _near_points(image: Float, points: Points) -> Float:
    """Voxels of small patches, each a sixth of the way from an extreme point to the points' centre."""
    centre = (points.min(axis=0) + points.max(axis=0)) / 2
    patches = []
    for point in points + (centre - points) / 6.0:
        corner = [
            int(np.clip(round((value + 1.0) / 2.0 * n - 0.5), 1, n - 2))
            for value, n in zip(point, image.shape[::-1], strict=True)
        ]
        x, y, z = corner
        patches.append(image[z - 1 : z + 2, y - 1 : y + 2, x - 1 : x + 2].reshape(-1))
    return np.concatenate(patches)


def _corners(box: Points) -> Points:
    """The eight corners of a box given by two, shape [8, 3]."""
    return np.array(list(itertools.product(*box.T)))


def _shape(image: Float) -> Shape:
    return image.shape[0], image.shape[1], image.shape[2]
