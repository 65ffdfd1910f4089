"""How a network sees an image and what a person showed: the one place where prompts become tensors.

Everything is computed in the ROI's own frame, where the box runs from -1 to 1 along each axis, so that the channels
depend neither on the grid's size nor on the image's spacing. The trainer and the gateway both call
:func:`network_input`.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Self

import numpy as np
import numpy.typing as npt

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

__all__ = ["Guide", "ellipsoid_map", "field_of_view", "heatmap", "hull_map", "network_input", "window"]

Float = npt.NDArray[np.float32]
Points = npt.NDArray[np.float64]
Shape = tuple[int, int, int]

# Spread of a normal distribution in median absolute deviations.
_MAD = 1.4826
# The smallest window: its inverse is still a finite float32.
_TINY = 1e-37
# Smaller values would become subnormal in float16, whose conversion takes the processor thirty times as long.
_LEAST_HEAT = np.float32(1e-4)
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
    shape = (image.shape[0], image.shape[1], image.shape[2])
    result = np.empty((len(spec.channels), *shape), np.float16 if spec.dtype == "FP16" else np.float32)
    for index, channel in enumerate(spec.channels):
        result[index] = _channel(channel, image, guide, shape)
    return result


def _channel(channel: Channel, image: Float, guide: Guide, shape: Shape) -> Float | float:
    match channel:
        case ImageChannel():
            return window(image, guide, channel.intensity)
        case HeatmapChannel():
            return heatmap(guide.extremes, shape=shape, sigma=channel.sigma)
        case ClickChannel():
            clicks = guide.positive if channel.sign == "positive" else guide.negative
            return heatmap(clicks, shape=shape, sigma=channel.sigma)
        case PreviousChannel():
            return 0.0 if guide.previous is None else guide.previous
        case FieldOfViewChannel():
            return field_of_view(guide.scan, shape=shape)
        case EllipsoidChannel():
            return ellipsoid_map(guide.box, shape=shape)
        case HullChannel():
            return hull_map(guide.extremes if len(guide.extremes) else _corners(guide.box), shape=shape)


def window(image: Float, guide: Guide, intensity: Intensity) -> Float:
    """Voxels [z, y, x] under an intensity window, clipped to [-1, 1]."""
    if intensity.method == "range":
        low, high = intensity.low, intensity.high
    else:
        low, high = (float(q) for q in np.percentile(image[_SPARSE], [intensity.low, intensity.high]))
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
    return np.clip((image - np.float32((low + high) / 2)) * np.float32(scale), -1.0, 1.0)


def heatmap(points: Points, *, shape: Shape, sigma: float) -> Float:
    """The largest of one Gaussian per point.

    Args:
        points: (x, y, z) in the ROI's frame, shape [n, 3].
        shape: Of the grid, [z, y, x].
        sigma: Standard deviation, as a fraction of the ROI's edge.

    Returns:
        Array [z, y, x] in [0, 1], written as products of three one-dimensional Gaussians, without a blur; below 1e-4 it
        is 0.
    """
    result = np.zeros(shape, np.float32)
    z, y, x = _axes(shape)
    for point in points:
        gx, gy, gz = (
            np.exp(-((axis - value) ** 2) / (2 * (2 * sigma) ** 2)).astype(np.float32)
            for axis, value in zip((x, y, z), point, strict=True)
        )
        np.maximum(result, gz[:, None, None] * (gy[:, None] * gx), out=result)
    result[result < _LEAST_HEAT] = 0.0
    return result


def ellipsoid_map(points: Points, *, shape: Shape) -> Float:
    """1 - r of the axis-aligned ellipsoid inscribed in the points' box, clipped to [-1, 1].

    Args:
        points: (x, y, z) in the ROI's frame, shape [n, 3].
        shape: Of the grid, [z, y, x].
    """
    return np.clip(1.0 - _radius(points, shape), -1.0, 1.0)


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


def hull_map(points: Points, *, shape: Shape) -> Float:
    """Signed distance to the convex hull of the points: positive inside, in half ROI edges, clipped to [-1, 1].

    Outside it is the distance to the farthest of the facets' planes that the voxel lies beyond (exact near facets, a
    lower bound near corners), which is smooth and cheap.

    Args:
        points: (x, y, z) in the ROI's frame, shape [n, 3].
        shape: Of the grid, [z, y, x].
    """
    z, y, x = (axis.astype(np.float32) for axis in _axes(shape))
    result = np.full(shape, 1.0, np.float32)
    for normal, offset in _hull_planes(points):
        nx, ny, nz = (np.float32(value) for value in normal)
        plane = (nz * z - np.float32(offset))[:, None, None] + ((ny * y)[:, None] + nx * x)
        np.minimum(result, -plane, out=result)
    return np.maximum(result, -1.0, out=result)


def _hull_planes(points: Points) -> list[tuple[Points, float]]:
    """Outward unit normals and offsets of the hull's facets: planes through three points with all others behind.

    Brute force over all triples: twenty for six points. A general hull code would be slower, and fails on flat sets.
    """
    planes: dict[tuple[float, ...], tuple[Points, float]] = {}
    for a, b, c in itertools.combinations(points, 3):
        normal = np.cross(b - a, c - a)
        length = float(np.linalg.norm(normal))
        if length < 1e-9:
            continue
        normal = normal / length
        heights = points @ normal - float(normal @ a)
        if heights.max() >= 1e-9:
            if heights.min() <= -1e-9:
                continue
            normal = -normal
        offset = float(normal @ a)
        # A facet of more than three points, as a box has, comes once for every triple of them.
        planes.setdefault(tuple(np.round([*normal, offset], 6)), (normal, offset))
    return list(planes.values())


def _corners(box: Points) -> Points:
    """The eight corners of a box given by two, shape [8, 3]."""
    return np.array(list(itertools.product(*box.T)))


@lru_cache(maxsize=16)
def _axes(shape: Shape) -> tuple[Points, Points, Points]:
    """Cell centres along z, y and x in the ROI's frame."""
    z, y, x = ((2.0 * np.arange(n) + 1.0) / n - 1.0 for n in shape)
    return z, y, x


def _radius(points: Points, shape: Shape) -> Float:
    """Normalised radius of the points' ellipsoid: 0 at its centre, 1 on its surface; [z, y, x]."""
    low, high = points.min(axis=0), points.max(axis=0)
    centre, half = (low + high) / 2, np.maximum((high - low) / 2, 1e-6)
    z, y, x = _axes(shape)
    squares = [(((axis - c) / h) ** 2).astype(np.float32) for axis, c, h in zip((x, y, z), centre, half, strict=True)]
    return np.sqrt(squares[2][:, None, None] + (squares[1][:, None] + squares[0]))


def _inner_ellipsoid(image: Float, points: Points) -> Float:
    """Voxels within half the radii of the points' ellipsoid."""
    inside = image[_SPARSE][_radius(points, (image.shape[0], image.shape[1], image.shape[2]))[_SPARSE] < 0.5]
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
