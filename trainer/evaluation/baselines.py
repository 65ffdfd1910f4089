"""Outlines from six points without a network, to compare one with: an ellipsoid, a random walker and a graph cut.

The two that look at the image start from what Roth et al. ("Going to Extremes", 2021) start from: the shortest paths
between opposite extreme points over the image's gradient are object, all beyond the points' box is background. They
work on a grid of at most 48 cells along each axis, which makes them take about a second or less.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import maxflow
import numpy as np
import numpy.typing as npt
from scipy import ndimage
from skimage import graph, segmentation

from sixpoint._typing import Array, Bools, Floating
from sixpoint.preprocessing import Roi, ellipsoid_map
from sixpoint.volume import Volume

__all__ = ["BASELINES", "ellipsoid", "graph_cut", "random_walker"]


_MAX_CELLS = 48
# Round the points' box, as a part of its extent and in voxels at least: image that is surely background.
_MARGIN, _MIN_MARGIN = 0.2, 3.0
_SLACK = 0.05
"""What lies beyond the box by more than this part of its extent is background."""
_OBJECT, _BACKGROUND = 1, 2
# Path finding costs most of all on a fine grid, and gains nothing there.
_PATH_STRIDE = 2
_PATH_WIDTH = 2
"""Paths are widened by so many cells, as Roth et al. do: a line is too little for a walker to find."""
# The four below were set on synthetic scenes, never on images that anything is measured on.
_BETA = 1000.0
"""How little a random walker likes to cross an edge."""
_MIDDLE = 0.7
"""Part of the ellipsoid's radius whose intensities stand for the object's."""
_BINS = 32
_SMOOTHNESS = 1.0
"""Weight of the cut's area against the likelihoods, in nats per face between equal cells."""
_RARE = 1e-3
_CERTAIN = 1e6


@dataclass(frozen=True)
class _Crop:
    """The image round the points, on a grid.

    Attributes:
        roi: Where the grid lies.
        values: Intensities [z, y, x], 0 to 1 between the 1st and 99th percentile.
        seeds: [z, y, x]: 1 surely object, 2 surely background, 0 unknown.
        spacing: Of the grid, mm along (z, y, x).
    """

    roi: Roi
    values: Floating
    seeds: npt.NDArray[np.uint8]
    spacing: tuple[float, float, float]

    def answer(self, probability: Floating, shape: tuple[int, ...]) -> Bools:
        """The mask [z, y, x] on the image's voxels: what is above one half, in the pieces that the paths touch."""
        size = (shape[2], shape[1], shape[0])
        pieces, _ = ndimage.label(probability >= 0.5)
        touched = np.setdiff1d(np.unique(pieces[self.seeds == _OBJECT]), [0])
        kept = np.where(np.isin(pieces, touched) | (probability < 0.5), probability, 0)
        values, (x, y, z) = self.roi.restore(kept, image_size=size)
        mask = np.zeros(shape, np.bool_)
        mask[z : z + values.shape[0], y : y + values.shape[1], x : x + values.shape[2]] = values >= 0.5
        return mask


def ellipsoid(image: Volume, points: Array) -> Bools:
    """The axis-aligned ellipsoid that fills the points' box to the voxels' faces: what six points give by themselves.

    Args:
        image: Only its size matters.
        points: Voxel indices (x, y, z), shape [n, 3].

    Returns:
        Mask [z, y, x].
    """
    low, high = points.min(axis=0) - 0.5, points.max(axis=0) + 0.5
    centre, half = (low + high) / 2, (high - low) / 2
    shape = image.array.shape
    z, y, x = (((np.arange(n) - centre[axis]) / half[axis]) ** 2 for n, axis in zip(shape, (2, 1, 0), strict=True))
    inside: Bools = z[:, None, None] + y[:, None] + x <= 1
    return inside


def random_walker(image: Volume, points: Array) -> Bools:
    """Grady's random walker (2006), by scikit-image, from the paths between opposite points.

    Args:
        image: The image.
        points: Six extreme points, voxel indices (x, y, z), shape [n, 3].

    Returns:
        Mask [z, y, x].
    """
    crop = _crop(image, points)
    if not np.ptp(crop.values):
        return ellipsoid(image, points)  # no edges: scikit-image divides by their strength
    probability = segmentation.random_walker(
        crop.values,
        crop.seeds.astype(np.int64),
        beta=_BETA,
        mode="cg_j",
        return_full_prob=True,
        prob_tol=np.inf,  # specks that noise cuts off are solved badly, and dropped below
        spacing=np.array(crop.spacing) / min(crop.spacing),
    )
    return crop.answer(np.clip(probability[0], 0, 1), image.array.shape)


def graph_cut(image: Volume, points: Array) -> Bools:
    """Boykov's and Jolly's graph cut (2001), by PyMaxflow, from the paths between opposite points.

    Likelihoods are smoothed histograms of the middle of the points' ellipsoid and of what lies outside of it; links
    between cells weaken with the contrast, and with the distance in mm.

    Args:
        image: The image.
        points: Six extreme points, voxel indices (x, y, z), shape [n, 3].

    Returns:
        Mask [z, y, x].
    """
    crop = _crop(image, points)
    network = maxflow.GraphFloat()
    nodes = network.add_grid_nodes(crop.values.shape)
    for structure, weights in _links(crop):
        network.add_grid_edges(nodes, weights=weights, structure=structure, symmetric=True)
    evidence = _evidence(crop, points)
    # A cell that stays with the source is object: cutting its other link costs what it would be as background.
    network.add_grid_tedges(nodes, np.maximum(evidence, 0), np.maximum(-evidence, 0))
    network.maxflow()
    inside = ~network.get_grid_segments(nodes)
    return crop.answer(inside.astype(np.float32), image.array.shape)


BASELINES: Mapping[str, Callable[[Volume, Array], Bools]] = {
    "ellipsoid": ellipsoid,
    "random walker": random_walker,
    "graph cut": graph_cut,
}
"""Every baseline by its name."""


def _crop(image: Volume, points: Array) -> _Crop:
    low, high = points.min(axis=0) - 0.5, points.max(axis=0) + 0.5
    margin = np.maximum(_MARGIN * (high - low), _MIN_MARGIN)
    lower, upper = (low - margin).tolist(), (high + margin).tolist()
    cells = np.minimum(np.rint(np.subtract(upper, lower)), _MAX_CELLS).astype(int).tolist()
    roi = Roi(
        lower=(lower[0], lower[1], lower[2]),
        upper=(upper[0], upper[1], upper[2]),
        size=(cells[0], cells[1], cells[2]),
    )
    grid = roi.extract(image.array)
    dark, bright = np.percentile(grid, (1, 99))
    values = np.clip((grid - dark) / max(bright - dark, 1e-6), 0, 1)
    z, y, x = (step * mm for step, mm in zip(roi.cell_size[::-1], image.geometry.spacing[::-1], strict=True))
    seeds = np.full(grid.shape, _BACKGROUND, np.uint8)
    slack = _SLACK * (high - low) + 0.5
    first = _cells(roi, low - slack, grid.shape)
    last = _cells(roi, high + slack, grid.shape)
    seeds[tuple(slice(a + 1, b) for a, b in zip(first, last, strict=True))] = 0
    paths = np.zeros(grid.shape, np.bool_)
    for path in _paths(values, _cells(roi, points, grid.shape), (z, y, x)):
        paths[tuple(path.T)] = True
    # Widened within the box only, but never thinned there: a point that misses is object too.
    seeds[ndimage.binary_dilation(paths, iterations=_PATH_WIDTH) & (seeds != _BACKGROUND) | paths] = _OBJECT
    return _Crop(roi=roi, values=values, seeds=seeds, spacing=(z, y, x))


def _cells(roi: Roi, points: Array, shape: tuple[int, ...]) -> npt.NDArray[np.int64]:
    """The cells [z, y, x] that points (x, y, z) of the image lie in."""
    place = (np.asarray(points, np.float64) - roi.lower) / roi.cell_size
    return np.clip(np.floor(place)[..., ::-1], 0, np.array(shape) - 1).astype(np.int64)


def _paths(
    values: Floating, cells: npt.NDArray[np.int64], spacing: tuple[float, float, float]
) -> list[npt.NDArray[np.int64]]:
    """The cells [n, 3] of the shortest paths between the outermost points of each axis, over the image's gradient."""
    cost = ndimage.gaussian_gradient_magnitude(values, sigma=1.0)
    coarse = cost[::_PATH_STRIDE, ::_PATH_STRIDE, ::_PATH_STRIDE]
    # A little more than nothing, so that a path through a uniform body is a short one.
    coarse = coarse + 0.05 * float(cost.max()) + 1e-6
    most = np.array(coarse.shape) - 1
    paths = []
    for axis in range(3):
        start, end = cells[cells[:, axis].argmin()], cells[cells[:, axis].argmax()]
        ends = [tuple(np.minimum(cell // _PATH_STRIDE, most).tolist()) for cell in (start, end)]
        found = graph.MCP_Geometric(coarse, sampling=spacing)
        found.find_costs([ends[0]], [ends[1]])
        knots = np.array(found.traceback(ends[1]), np.float64) * _PATH_STRIDE
        knots[0], knots[-1] = start, end
        fine = ndimage.zoom(knots, (2 * _PATH_STRIDE + 1, 1), order=1) if len(knots) > 1 else knots
        paths.append(np.clip(np.rint(fine), 0, np.array(values.shape) - 1).astype(np.int64))
    return paths


def _evidence(crop: _Crop, points: Array) -> Floating:
    """For each cell [z, y, x] the log of how much likelier it is object than background; seeds are certain."""
    middle = ellipsoid_map(crop.roi.normalise(points), shape=crop.values.shape) > 1 - _MIDDLE
    bins = np.minimum((crop.values * _BINS).astype(np.int64), _BINS - 1)
    logs = []
    for member in (middle | (crop.seeds == _OBJECT), ~middle):
        counts = np.bincount(bins[member], minlength=_BINS).astype(np.float64)
        density = ndimage.gaussian_filter1d(counts, 1.0, mode="nearest")
        logs.append(np.log(density / max(density.sum(), 1.0) + _RARE))
    evidence: Floating = (logs[0] - logs[1])[bins]
    evidence[crop.seeds == _OBJECT] = _CERTAIN
    evidence[crop.seeds == _BACKGROUND] = -_CERTAIN
    return evidence


def _links(crop: _Crop) -> list[tuple[npt.NDArray[np.int64], Floating]]:
    """For each axis the neighbour (as PyMaxflow's structure) and the weight of the link to it from each cell."""
    steps = [np.diff(crop.values, axis=axis) for axis in range(3)]
    variance = np.mean(np.concatenate([np.square(step).reshape(-1) for step in steps])) + 1e-9
    links: list[tuple[npt.NDArray[np.int64], Floating]] = []
    for axis, step in enumerate(steps):
        structure = np.zeros((3, 3, 3), np.int64)
        structure[tuple(2 if a == axis else 1 for a in range(3))] = 1
        weights = np.zeros_like(crop.values, dtype=np.float64)
        weights[tuple(slice(0, -1) if a == axis else slice(None) for a in range(3))] = (
            _SMOOTHNESS * min(crop.spacing) / crop.spacing[axis] * np.exp(-np.square(step) / (2 * variance))
        )
        links.append((structure, weights))
    return links
