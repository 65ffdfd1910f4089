"""Guidance maps on an ROI's grid, in the ROI's frame, where the box runs from -1 to 1 along each axis."""

from __future__ import annotations

import itertools
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from sixpoint._typing import Float, Floating, Points, Shape
from sixpoint.preprocessing import kernels

__all__ = [
    "HEAT_FLOOR",
    "cell_centres",
    "ellipsoid_map",
    "field_of_view_map",
    "gaussian_factors",
    "heatmap",
    "hull_map",
]


HEAT_FLOOR = 1e-4
"""Heat below this becomes 0: in float16 it would be subnormal."""


def heatmap(points: Points, *, shape: Shape, sigma: float, out: Floating | None = None) -> Floating:
    """Draw the maximum of Gaussians at the points.

    Args:
        points: Points (x, y, z) in the ROI's frame, shape [n, 3].
        shape: Shape of the grid, [z, y, x].
        sigma: Standard deviation of the Gaussians, as a fraction of the ROI's edge.
        out: Array [z, y, x], float16 or float32, to write to; None: a new one, float32.

    Returns:
        Array [z, y, x] in [0, 1], computed exactly as products of three one-dimensional Gaussians; 0 below 1e-4.
    """
    result = np.empty(shape, np.float32) if out is None else out
    kernels.heatmap(gaussian_factors(points, shape=shape, sigma=sigma), result, floor=HEAT_FLOOR)
    return result


def gaussian_factors(points: Points, *, shape: Shape, sigma: float) -> list[Float]:
    """Factors of :func:`heatmap`: along z, y and x, one Gaussian per point, [n, cells of the axis].

    Args:
        points: Points (x, y, z) in the ROI's frame, shape [n, 3].
        shape: Shape of the grid, [z, y, x].
        sigma: Standard deviation of the Gaussians, as a fraction of the ROI's edge.
    """
    return [
        np.exp(-((axis - places[:, None]) ** 2) / (2 * (2 * sigma) ** 2)).astype(np.float32)
        for axis, places in zip(cell_centres(shape), points.T[::-1], strict=True)
    ]


def ellipsoid_map(points: Points, *, shape: Shape, out: Floating | None = None) -> Floating:
    """Draw 1 - r of the axis-aligned ellipsoid inscribed in the points' box, clipped to [-1, 1].

    Args:
        points: Points (x, y, z) in the ROI's frame, shape [n, 3].
        shape: Shape of the grid, [z, y, x].
        out: Array [z, y, x], float16 or float32, to write to; None: a new one, float32.
    """
    low, high = points.min(axis=0), points.max(axis=0)
    middle, half = (low + high) / 2, np.maximum((high - low) / 2, 1e-6)
    z, y, x = (
        (((axis - c) / h) ** 2).astype(np.float32)
        for axis, c, h in zip(cell_centres(shape), middle[::-1], half[::-1], strict=True)
    )
    result = np.empty(shape, np.float32) if out is None else out
    kernels.ellipsoid((z, y, x), result)
    return result


def field_of_view_map(image_bounds: Points, *, shape: Shape, out: Floating | None = None) -> Floating:
    """Draw the share of each cell that lies in the image; outside, the ROI repeats the voxels at the border.

    Args:
        image_bounds: Lower and upper face (x, y, z) of the image in the ROI's frame, shape [2, 3].
        shape: Shape of the grid, [z, y, x].
        out: Array [z, y, x], float16 or float32, to write to; None: a new one, float32.
    """
    shares = []
    for n, low, high in zip(shape, image_bounds[0, ::-1], image_bounds[1, ::-1], strict=True):
        faces = _faces(n)
        covered = np.minimum(faces[1:], high) - np.maximum(faces[:-1], low)
        shares.append(np.clip(covered * n / 2.0, 0.0, 1.0).astype(np.float32)[None])
    result = np.empty(shape, np.float32) if out is None else out
    z, y, x = shares
    # Runs of slices are covered equally. Like the heat map of one point, this is a product of three factors.
    ends = [*(np.flatnonzero(np.diff(z[0])) + 1).tolist(), len(result)]
    for begin, end in itertools.pairwise([0, *ends]):
        kernels.heatmap((z[:, begin : begin + 1], y, x), result[begin : begin + 1], floor=0.0)
        result[begin + 1 : end] = result[begin]
    return result


def hull_map(points: Points, *, shape: Shape, out: Floating | None = None) -> Floating:
    """Draw the signed distance to the points' convex hull: positive inside, in half ROI edges, clipped to [-1, 1].

    Outside it is the distance to the farthest plane of a facet: exact near facets, a lower bound near corners, smooth
    and cheap.

    Args:
        points: Points (x, y, z) in the ROI's frame, shape [n, 3].
        shape: Shape of the grid, [z, y, x].
        out: Array [z, y, x], float16 or float32, to write to; None: a new one, float32.
    """
    result = np.empty(shape, np.float32) if out is None else out
    axes = [axis.astype(np.float32) for axis in cell_centres(shape)]
    kernels.hull(_hull_planes(points).astype(np.float32), axes, result)
    return result


def _hull_planes(points: Points) -> Points:
    """Outward unit normals (x, y, z) and offsets of the hull's facets, [n, 4].

    Brute force over all triples of points, 20 for six points: faster than a general hull code, which also fails on flat
    sets. A triple is a facet if all points lie on one side of its plane.
    """
    triples = points[_triples(len(points))]
    # Cross product; NumPy's own is slow for so few vectors.
    (ax, ay, az), (bx, by, bz) = ((triples[:, n] - triples[:, 0]).T for n in (1, 2))
    normals = np.stack([ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx], axis=1)
    lengths = np.sqrt((normals**2).sum(axis=1))
    normals, corners = normals[lengths >= 1e-9], triples[lengths >= 1e-9, 0]
    normals /= lengths[lengths >= 1e-9, None]
    offsets = (normals * corners).sum(axis=1)
    heights = normals @ points.T - offsets[:, None]
    behind, before = heights.max(axis=1) < 1e-9, heights.min(axis=1) > -1e-9
    # A facet with more than three points, as of a box, appears once for every triple of them.
    facets = np.concatenate([normals, offsets[:, None]], axis=1) * np.where(behind, 1.0, -1.0)[:, None]
    facets = facets[behind | before]
    planes: dict[tuple[float, ...], list[float]] = {}
    for plane, rounded in zip(facets.tolist(), np.round(facets, 6).tolist(), strict=True):
        planes.setdefault(tuple(rounded), plane)
    return np.array(list(planes.values())).reshape(-1, 4)


@lru_cache(maxsize=16)
def _triples(count: int) -> npt.NDArray[np.intp]:
    """All combinations of three out of ``count`` indices, [n, 3]."""
    return np.array(list(itertools.combinations(range(count), 3)), np.intp).reshape(-1, 3)


@lru_cache(maxsize=16)
def _faces(cells: int) -> Points:
    """Positions of the faces between cells in the ROI's frame, [cells + 1]."""
    return np.linspace(-1.0, 1.0, cells + 1)


@lru_cache(maxsize=16)
def cell_centres(shape: Shape) -> tuple[Points, Points, Points]:
    """Cell centres of a grid along z, y and x in the ROI's frame."""
    z, y, x = ((2.0 * np.arange(n) + 1.0) / n - 1.0 for n in shape)
    return z, y, x
