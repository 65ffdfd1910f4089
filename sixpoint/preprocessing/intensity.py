"""Intensity windows: where they begin and end in an image, and voxels under them."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from sixpoint._typing import Float, Floating, Points
from sixpoint.model_spec import Intensity
from sixpoint.preprocessing import kernels
from sixpoint.preprocessing.guidance_maps import cell_centres

__all__ = ["IntensityWindow", "PercentileEstimator", "estimate_percentiles", "fit_window"]

PercentileEstimator = Callable[[float, float], tuple[float, float]]

# Spread of a normal distribution in median absolute deviations.
_MAD = 1.4826
# The smallest window: its inverse is still a finite float32.
_TINY = 1e-37
# Statistics read every second voxel of each axis: an eighth of the cost, the same medians to a fraction of their error.
_SPARSE = (slice(None, None, 2),) * 3


@dataclass(frozen=True)
class IntensityWindow:
    """What an intensity window comes to in one image.

    Attributes:
        low: What goes to -1.
        high: What goes to 1.
        background: What voxels that are 0 count as; None: 0.
    """

    low: float
    high: float
    background: float | None = None

    def apply(self, image: Float, out: Floating) -> None:
        """Write voxels [z, y, x] under the window, clipped to [-1, 1], into an array of float16 or float32."""
        low, high = self.low, self.high
        # The floor only keeps constant images from a division by nothing; it follows their units, which may be tiny.
        scale = 2.0 / max(high - low, 1e-6 * max(abs(low), abs(high)), _TINY)
        kernels.apply_window(image, out, centre=(low + high) / 2, scale=scale, background=self.background)


def estimate_percentiles(image: Float, low: float, high: float) -> tuple[float, float]:
    """Two percentiles of an image [z, y, x], in percent."""
    if (low, high) == (0, 100):
        # Of the least and the largest voxel a sample would miss one.
        return float(image.min()), float(image.max())
    sample = image[_SPARSE].astype(np.float32).reshape(-1)
    ranks = [rank for percent in (low, high) for rank in _neighbours(percent, sample.size)]
    # 0.5 ms for a grid of 64 x 64 x 64 cells, once a prompt; a radix select in C took 0.3 ms.
    sample.partition(ranks)
    a, b, c, d = sample[ranks].tolist()
    return _between(a, b, low, sample.size), _between(c, d, high, sample.size)


def fit_window(
    image: Float, intensity: Intensity, *, extremes: Points, box: Points, percentiles: PercentileEstimator
) -> IntensityWindow:
    """Where an intensity window begins and ends in an image.

    Args:
        image: Voxels [z, y, x], in the image's own units.
        intensity: The window.
        extremes: Extreme points (x, y, z) in the image's own frame (-1 to 1), shape [n, 3]; may be none.
        box: Two corners of the object's box, likewise, shape [2, 3].
        percentiles: Gives two percentiles of the image: :func:`estimate_percentiles`.
    """
    if intensity.nonzero or intensity.method == "zscore":
        return _of_all_voxels(image, intensity)
    if intensity.method == "range":
        return IntensityWindow(intensity.low, intensity.high)
    low, high = percentiles(intensity.low, intensity.high)
    if intensity.method == "percentile":
        return IntensityWindow(low, high)
    near = intensity.method == "points" and len(extremes)
    inside = _near_points(image, extremes) if near else _inner_ellipsoid(image, box)
    # In double precision: the mean of two float32 voxels may be beyond float32.
    inside = inside.astype(np.float64)
    median = _percentile(np.sort(inside), 50)
    # A floor, so that a body without noise or texture does not blow its window up.
    spread = max(_MAD * _percentile(np.sort(np.abs(inside - median)), 50), 0.02 * (high - low))
    return IntensityWindow(median - intensity.width * spread, median + intensity.width * spread)


def _of_all_voxels(image: Float, intensity: Intensity) -> IntensityWindow:
    """What goes to -1 and 1 by statistics of every voxel; without the background, where that is 0."""
    nonzero = intensity.nonzero and bool(image.any())
    if not nonzero and intensity.method == "percentile":
        low, high = np.percentile(image, [intensity.low, intensity.high]).tolist()
        return IntensityWindow(low, high)
    mean, deviation = _moments(image, nonzero=nonzero)
    low, high = mean - intensity.width * deviation, mean + intensity.width * deviation
    if intensity.method == "percentile":
        seen = image[image != 0]
        low, high = np.percentile(seen, [intensity.low, intensity.high], overwrite_input=True).tolist()
    return IntensityWindow(low, high, mean if nonzero else None)


def _moments(image: Float, *, nonzero: bool) -> tuple[float, float]:
    """Mean and standard deviation of the voxels [z, y, x], or of those that are not 0: in double precision."""
    count, total, squares = 0, 0.0, 0.0
    for plane in image:
        seen = plane[plane != 0] if nonzero else plane
        count += seen.size
        total += float(seen.sum(dtype=np.float64))
    mean = total / count
    for plane in image:
        seen = plane[plane != 0] if nonzero else plane
        squares += float(np.square(seen.astype(np.float64) - mean).sum())
    return mean, math.sqrt(squares / count)


def _percentile(ordered: Floating, percent: float) -> float:
    """A percentile of numbers in ascending order, between two of them by linear interpolation."""
    first, second = _neighbours(percent, len(ordered))
    return _between(float(ordered[first]), float(ordered[second]), percent, len(ordered))


def _between(below: float, above: float, percent: float, count: int) -> float:
    """A percentile of so many numbers, from the two that it lies between."""
    share = percent / 100 * (count - 1) - _neighbours(percent, count)[0]
    # Not the difference of the two, which may be beyond the largest number.
    return below * (1 - share) + above * share


def _neighbours(percent: float, count: int) -> tuple[int, int]:
    """Between which of so many numbers in ascending order a percentile lies."""
    place = percent / 100 * (count - 1)
    return math.floor(place), math.ceil(place)


def _inner_ellipsoid(image: Float, points: Points) -> Float:
    """Voxels within half the radii of the points' ellipsoid."""
    low, high = points.min(axis=0), points.max(axis=0)
    middle, half = (low + high) / 2, np.maximum((high - low) / 2, 1e-6)
    shape = (image.shape[0], image.shape[1], image.shape[2])
    z, y, x = (
        (((axis[::2] - c) / h) ** 2).astype(np.float32)
        for axis, c, h in zip(cell_centres(shape), middle[::-1], half[::-1], strict=True)
    )
    inside = image[_SPARSE][z[:, None, None] + (y[:, None] + x) < 0.25]
    return inside if inside.size else image.reshape(-1)


def _near_points(image: Float, points: Points) -> Float:
    """Voxels of small patches, each a sixth of the way from an extreme point to the points' centre."""
    centre = (points.min(axis=0) + points.max(axis=0)) / 2
    patches = []
    for point in (points + (centre - points) / 6.0).tolist():
        corner = [
            min(max(round((value + 1.0) / 2.0 * n - 0.5), 1), n - 2)
            for value, n in zip(point, image.shape[::-1], strict=True)
        ]
        x, y, z = corner
        patches.append(image[z - 1 : z + 2, y - 1 : y + 2, x - 1 : x + 2].reshape(-1))
    return np.concatenate(patches)
