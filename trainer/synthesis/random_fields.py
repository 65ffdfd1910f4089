"""Smooth random fields, and the resampling that they are built on. Arrays are [z, y, x]."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import numpy.typing as npt

from sixpoint._typing import Float, Rng, Shape
from sixpoint.preprocessing import Roi

__all__ = ["coordinates", "log_uniform", "resample", "smooth_noise"]


def log_uniform(rng: Rng, low: float, high: float) -> float:
    """Draw a number between two positive ones, uniform in its logarithm."""
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))


def resample(array: npt.NDArray[np.generic], shape: Shape) -> Float:
    """Resample an array [z, y, x] to another shape, anti-aliased when it shrinks."""
    upper = tuple(n - 0.5 for n in array.shape[::-1])
    roi = Roi(lower=(-0.5, -0.5, -0.5), upper=(upper[0], upper[1], upper[2]), size=(shape[2], shape[1], shape[0]))
    return roi.extract(array)


def smooth_noise(rng: Rng, shape: Shape, scale: float) -> Float:
    """Draw Gaussian noise of about unit variance, correlated over ``scale`` voxels, [z, y, x].

    Coarse white noise is convolved with a Gaussian kernel: three small matrix products at any scale.
    """
    matrices = [_kernel(n, round(max(scale, 1.0), 3)) for n in shape]
    coarse = rng.standard_normal([m.shape[1] for m in matrices], dtype=np.float32)
    z, y, x = matrices
    field = np.matmul(y, coarse @ x.T)
    result: Float = (z @ field.reshape(field.shape[0], -1)).reshape(shape)
    return result


@lru_cache(maxsize=64)
def _kernel(extent: int, scale: float) -> Float:
    """Compute weights [extent, coarse] of Gaussians, one coarse sample per ``scale`` voxels, with rows of unit norm."""
    nodes = np.arange(-2.0 * scale, extent + 2.0 * scale, scale)
    weights = np.exp(-0.5 * ((np.arange(extent)[:, None] - nodes[None, :]) / (0.8 * scale)) ** 2)
    result: Float = (weights / np.sqrt((weights**2).sum(axis=1, keepdims=True))).astype(np.float32)
    return result


@lru_cache(maxsize=32)
def coordinates(shape: Shape, reach: float = 1.0) -> Float:
    """Compute the cell centres of a grid from -reach to reach on each axis, read-only, shape [3, z, y, x]."""
    axes = [((2.0 * np.arange(n) + 1.0) / n - 1.0) * reach for n in shape]
    result = np.stack(np.meshgrid(*axes, indexing="ij")).astype(np.float32)
    result.flags.writeable = False
    return result
