"""Intensity windows: fit them to an image, and apply them to its voxels."""

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

# Standard deviation of a normal distribution, in median absolute deviations.
_MAD = 1.4826
# Smallest width of a window: its inverse is still a finite float32.
_TINY = 1e-37
# Statistics read every second voxel of each axis: an eighth of the time, and nearly the same medians.
_SPARSE = (slice(None, None, 2),) * 3


@dataclass(frozen=True)
class IntensityWindow:
    """An intensity window fitted to one image.

    Attributes:
        low: Value that becomes -1.
        high: Value that becomes 1.
        background: Value that replaces voxels of exactly 0; None: they stay 0.
    """

    low: float
    high: float
    background: float | None = None

    def apply(self, image: Float, out: Floating) -> None:
        """Map voxels [z, y, x] to [-1, 1], clipped, and write them to an array of float16 or float32."""
        low, high = self.low, self.high
        # The lower bound avoids a division by 0 on constant images; it scales with their units, which may be tiny.
        scale = 2.0 / max(high - low, 1e-6 * max(abs(low), abs(high)), _TINY)
        kernels.apply_window(image, out, centre=(low + high) / 2, scale=scale, background=self.background)


def estimate_percentiles(image: Float, low: float, high: float) -> tuple[float, float]:
    """Two percentiles (0 to 100) of an image [z, y, x], estimated from every second voxel along each axis."""
    if (low, high) == (0, 100):
        # The sample may lack the smallest and the largest voxel.
        return float(image.min()), float(image.max())
    sample = image[_SPARSE].astype(np.float32).reshape(-1)
    ranks = [rank for percent in (low, high) for rank in _neighbours(percent, sample.size)]
    # 0.5 ms for a grid of 64 x 64 x 64 cells, once a prompt; a radix select in C took 0.3 ms.
    sample.partition(ranks)
    a, b, c, d = sample[ranks].tolist()
    return _interpolate(a, b, low, sample.size), _interpolate(c, d, high, sample.size)


def fit_window(
    image: Float, intensity: Intensity, *, extremes: Points, box: Points, percentiles: PercentileEstimator
) -> IntensityWindow:
    """Fit an intensity window to an image.

    Args:
        image: Voxels [z, y, x], in the image's own units.
        intensity: Window of the spec.
        extremes: Extreme points (x, y, z) in the frame of the array (-1 to 1), shape [n, 3]; may be empty.
        box: Two corners of the object's box in the same frame, shape [2, 3].
        percentiles: Function that returns two percentiles of the image: :func:`estimate_percentiles`, or a cache of it.
    """
    if intensity.nonzero or intensity.method == "zscore" or (intensity.exact and intensity.method == "percentile"):
        return _fit_to_all_voxels(image, intensity)
    if intensity.method == "range":
        return IntensityWindow(intensity.low, intensity.high)
    low, high = percentiles(intensity.low, intensity.high)
    if intensity.method == "percentile":
        return IntensityWindow(low, high)
    near = intensity.method == "points" and len(extremes)
    inside = _near_points(image, extremes) if near else _inner_ellipsoid(image, box)
    # In double precision: the sum of two float32 voxels may overflow float32.
    inside = inside.astype(np.float64)
    median = _percentile(np.sort(inside), 50)
    # The lower bound keeps the window of an object without noise or texture from becoming too narrow.
    spread = max(_MAD * _percentile(np.sort(np.abs(inside - median)), 50), 0.02 * (high - low))
    return IntensityWindow(median - intensity.width * spread, median + intensity.width * spread)


def _fit_to_all_voxels(image: Float, intensity: Intensity) -> IntensityWindow:
    """Fit a window by statistics of every voxel; with ``nonzero``, of every voxel that is not 0."""
    nonzero = intensity.nonzero and bool(image.any())
    if not nonzero and intensity.method == "percentile":
        low, high = np.percentile(image, [intensity.low, intensity.high]).tolist()
        return IntensityWindow(low, high)
    mean, deviation = _moments(image, nonzero=nonzero)
    low, high = mean - intensity.width * deviation, mean + intensity.width * deviation
    if intensity.method == "percentile":
        selected = image[image != 0]
        low, high = np.percentile(selected, [intensity.low, intensity.high], overwrite_input=True).tolist()
    return IntensityWindow(low, high, mean if nonzero else None)


def _moments(image: Float, *, nonzero: bool) -> tuple[float, float]:
    """Mean and standard deviation, in double precision, of the voxels [z, y, x], or of those that are not 0."""
    count, total, squares = 0, 0.0, 0.0
    for plane in image:
        selected = plane[plane != 0] if nonzero else plane
        count += selected.size
        total += float(selected.sum(dtype=np.float64))
    mean = total / count
    for plane in image:
        selected = plane[plane != 0] if nonzero else plane
        squares += float(np.square(selected.astype(np.float64) - mean).sum())
    return mean, math.sqrt(squares / count)


def _percentile(ordered: Floating, percent: float) -> float:
    """A percentile of numbers in ascending order, linearly interpolated."""
    first, second = _neighbours(percent, len(ordered))
    return _interpolate(float(ordered[first]), float(ordered[second]), percent, len(ordered))


def _interpolate(below: float, above: float, percent: float, count: int) -> float:
    """Interpolate a percentile of ``count`` numbers between its two neighbours."""
    share = percent / 100 * (count - 1) - _neighbours(percent, count)[0]
    # Not below + share * (above - below): the difference may overflow.
    return below * (1 - share) + above * share


def _neighbours(percent: float, count: int) -> tuple[int, int]:
    """Ranks of the two numbers, of ``count`` in ascending order, that a percentile lies between."""
    place = percent / 100 * (count - 1)
    return math.floor(place), math.ceil(place)


def _inner_ellipsoid(image: Float, points: Points) -> Float:
    """Voxels within half the radii of the ellipsoid in the points' box."""
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
    """Voxels of blocks of 3 x 3 x 3, each a sixth of the way from an extreme point to the points' centre."""
    centre = (points.min(axis=0) + points.max(axis=0)) / 2
    blocks = []
    for point in (points + (centre - points) / 6.0).tolist():
        corner = [
            min(max(round((value + 1.0) / 2.0 * n - 0.5), 1), n - 2)
            for value, n in zip(point, image.shape[::-1], strict=True)
        ]
        x, y, z = corner
        blocks.append(image[z - 1 : z + 2, y - 1 : y + 2, x - 1 : x + 2].reshape(-1))
    return np.concatenate(blocks)
