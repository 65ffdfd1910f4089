"""Prompts as maps on an ROI's grid, in the ROI's own frame, where the box runs from -1 to 1 along each axis."""

from __future__ import annotations

import itertools
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from sixpoint import kernels

__all__ = ["LEAST_HEAT", "centres", "ellipsoid_map", "field_of_view", "heat_factors", "heatmap", "hull_map"]

Float = npt.NDArray[np.float32]
Floating = npt.NDArray[np.floating]
Points = npt.NDArray[np.float64]
Shape = tuple[int, int, int]

LEAST_HEAT = 1e-4
"""What is less hot counts as cold: it would become subnormal in float16."""


def heatmap(points: Points, *, shape: Shape, sigma: float, out: Floating | None = None) -> Floating:
    """The largest of one Gaussian per point.

    Args:
        points: (x, y, z) in the ROI's frame, shape [n, 3].
        shape: Of the grid, [z, y, x].
        sigma: Standard deviation, as a fraction of the ROI's edge.
        out: Where to write it, float16 or float32; None: a new array, float32.

    Returns:
        Array [z, y, x] in [0, 1], written as products of three one-dimensional Gaussians, without a blur; below 1e-4 it
        is 0.
    """
    result = np.empty(shape, np.float32) if out is None else out
    kernels.heatmap(heat_factors(points, shape=shape, sigma=sigma), result, least=LEAST_HEAT)
    return result


def heat_factors(points: Points, *, shape: Shape, sigma: float) -> list[Float]:
    """What :func:`heatmap` multiplies: along z, y and x, one Gaussian a point, [n, cells of the axis].

    Args:
        points: (x, y, z) in the ROI's frame, shape [n, 3].
        shape: Of the grid, [z, y, x].
        sigma: Standard deviation, as a fraction of the ROI's edge.
    """
    return [
        np.exp(-((axis - places[:, None]) ** 2) / (2 * (2 * sigma) ** 2)).astype(np.float32)
        for axis, places in zip(centres(shape), points.T[::-1], strict=True)
    ]


def ellipsoid_map(points: Points, *, shape: Shape, out: Floating | None = None) -> Floating:
    """1 - r of the axis-aligned ellipsoid inscribed in the points' box, clipped to [-1, 1].

    Args:
        points: (x, y, z) in the ROI's frame, shape [n, 3].
        shape: Of the grid, [z, y, x].
        out: Where to write it, float16 or float32; None: a new array, float32.
    """
    low, high = points.min(axis=0), points.max(axis=0)
    middle, half = (low + high) / 2, np.maximum((high - low) / 2, 1e-6)
    z, y, x = (
        (((axis - c) / h) ** 2).astype(np.float32)
        for axis, c, h in zip(centres(shape), middle[::-1], half[::-1], strict=True)
    )
    result = np.empty(shape, np.float32) if out is None else out
    kernels.ellipsoid((z, y, x), result)
    return result


def field_of_view(scan: Points, *, shape: Shape) -> Float:
    """The share of each cell that lies in the image, [z, y, x]: beyond its border, voxels only repeat the last ones.

    Args:
        scan: Lower and upper face of the image (x, y, z) in the ROI's frame, shape [2, 3].
        shape: Of the grid, [z, y, x].
    """
    shares = []
    for n, low, high in zip(shape, scan[0, ::-1], scan[1, ::-1], strict=True):
        faces = np.linspace(-1.0, 1.0, n + 1)
        covered = np.minimum(faces[1:], high) - np.maximum(faces[:-1], low)
        shares.append(np.clip(covered * n / 2.0, 0.0, 1.0).astype(np.float32))
    z, y, x = shares
    return z[:, None, None] * (y[:, None] * x)


def hull_map(points: Points, *, shape: Shape, out: Floating | None = None) -> Floating:
    """Signed distance to the convex hull of the points: positive inside, in half ROI edges, clipped to [-1, 1].

    Outside it is the distance to the farthest of the facets' planes that the voxel lies beyond (exact near facets, a
    lower bound near corners), which is smooth and cheap.

    Args:
        points: (x, y, z) in the ROI's frame, shape [n, 3].
        shape: Of the grid, [z, y, x].
        out: Where to write it, float16 or float32; None: a new array, float32.
    """
    planes = [[*normal, offset] for normal, offset in _hull_planes(points)]
    result = np.empty(shape, np.float32) if out is None else out
    axes = [axis.astype(np.float32) for axis in centres(shape)]
    kernels.hull(np.array(planes, np.float32).reshape(-1, 4), axes, result)
    return result


def _hull_planes(points: Points) -> list[tuple[Points, float]]:
    """Outward unit normals and offsets of the hull's facets: planes through three points with all others behind.

    Brute force over all triples: twenty for six points. A general hull code would be slower, and fails on flat sets.
    """
    triples = points[list(itertools.combinations(range(len(points)), 3))].reshape(-1, 3, 3)
    normals = np.cross(triples[:, 1] - triples[:, 0], triples[:, 2] - triples[:, 0])
    lengths = np.sqrt((normals**2).sum(axis=1))
    normals, corners = normals[lengths >= 1e-9], triples[lengths >= 1e-9, 0]
    normals /= lengths[lengths >= 1e-9, None]
    offsets = (normals * corners).sum(axis=1)
    heights = normals @ points.T - offsets[:, None]
    behind, before = heights.max(axis=1) < 1e-9, heights.min(axis=1) > -1e-9
    # A facet of more than three points, as a box has, comes once for every triple of them.
    planes: dict[tuple[float, ...], tuple[Points, float]] = {}
    for index in np.flatnonzero(behind | before):
        sign = 1.0 if behind[index] else -1.0
        normal, offset = sign * normals[index], sign * float(offsets[index])
        planes.setdefault(tuple(np.round([*normal, offset], 6).tolist()), (normal, offset))
    return list(planes.values())


@lru_cache(maxsize=16)
def centres(shape: Shape) -> tuple[Points, Points, Points]:
    """Cell centres of a grid along z, y and x in the ROI's frame."""
    z, y, x = ((2.0 * np.arange(n) + 1.0) / n - 1.0 for n in shape)
    return z, y, x
