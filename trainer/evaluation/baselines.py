"""Methods that outline an object from six points without a network: ellipsoid, random walker and graph cut.

The two that use the image start as Roth et al. ("Going to Extremes", 2021) do: the shortest paths between opposite
extreme points over the image's gradient are object, everything outside the points' box is background. They work on a
grid of at most 48 cells along each axis, which takes about a second or less.
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
# Margin of certain background round the points' box: a fraction of its extent, and a minimum in voxels.
_MARGIN, _MIN_MARGIN = 0.2, 3.0
_SLACK = 0.05
"""Cells outside the box by more than this fraction of its extent are background."""
_OBJECT, _BACKGROUND = 1, 2
# Path finding is the slowest step on a fine grid, and gains nothing there.
_PATH_STRIDE = 2
_PATH_WIDTH = 2
"""Cells by which paths are widened, as Roth et al. do: a line is too thin for a random walker."""
# The four values below were set on synthetic scenes, never on images used for evaluation.
_BETA = 1000.0
"""Penalty of a random walker for crossing an edge."""
_MIDDLE = 0.7
"""Fraction of the ellipsoid's radius whose intensities represent the object."""
_BINS = 32
_SMOOTHNESS = 1.0
"""Weight of the area of the cut relative to the likelihoods, in nats per face between equal cells."""
_RARE = 1e-3
_CERTAIN = 1e6


@dataclass(frozen=True)
class _Crop:
    """The image near the points, on a grid.

    Attributes:
        roi: ROI of the grid.
        values: Intensities [z, y, x], scaled to 0 to 1 between the 1st and 99th percentile.
        seeds: Seeds [z, y, x]: 1 certainly object, 2 certainly background, 0 unknown.
        spacing: Spacing of the grid along (z, y, x), mm.
    """

    roi: Roi
    values: Floating
    seeds: npt.NDArray[np.uint8]
    spacing: tuple[float, float, float]

    def to_mask(self, probability: Floating, shape: tuple[int, ...]) -> Bools:
        """Threshold probabilities at 0.5, keep the components that touch the paths, and restore the image's grid."""
        size = (shape[2], shape[1], shape[0])
        pieces, _ = ndimage.label(probability >= 0.5)
        touched = np.setdiff1d(np.unique(pieces[self.seeds == _OBJECT]), [0])
        masked = np.where(np.isin(pieces, touched) | (probability < 0.5), probability, 0)
        values, (x, y, z) = self.roi.restore(masked, image_size=size)
        mask = np.zeros(shape, np.bool_)
        mask[z : z + values.shape[0], y : y + values.shape[1], x : x + values.shape[2]] = values >= 0.5
        return mask


def ellipsoid(image: Volume, points: Array) -> Bools:
    """Fill the box of the points with the axis-aligned ellipsoid that touches its faces. Ignores the intensities.

    Args:
        image: Image; only its size is used.
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
    """Outline by Grady's random walker (2006) of scikit-image, from the paths between opposite points.

    Args:
        image: Image to outline in.
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
        prob_tol=np.inf,  # isolated specks are solved badly; to_mask drops them
        spacing=np.array(crop.spacing) / min(crop.spacing),
    )
    return crop.to_mask(np.clip(probability[0], 0, 1), image.array.shape)


def graph_cut(image: Volume, points: Array) -> Bools:
    """Outline by Boykov's and Jolly's graph cut (2001) of PyMaxflow, from the paths between opposite points.

    The likelihoods are smoothed histograms of the middle of the points' ellipsoid and of its outside. Links between
    cells weaken with contrast, and with distance in mm.

    Args:
        image: Image to outline in.
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
    # A cell that stays with the source is object: then the link to the sink is cut, and its weight is the cost.
    network.add_grid_tedges(nodes, np.maximum(evidence, 0), np.maximum(-evidence, 0))
    network.maxflow()
    inside = ~network.get_grid_segments(nodes)
    return crop.to_mask(inside.astype(np.float32), image.array.shape)


BASELINES: Mapping[str, Callable[[Volume, Array], Bools]] = {
    "ellipsoid": ellipsoid,
    "random walker": random_walker,
    "graph cut": graph_cut,
}
"""Baselines by name."""


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
    # Widened inside the box only. The path itself is object also outside: a jittered point is still on the object.
    seeds[ndimage.binary_dilation(paths, iterations=_PATH_WIDTH) & (seeds != _BACKGROUND) | paths] = _OBJECT
    return _Crop(roi=roi, values=values, seeds=seeds, spacing=(z, y, x))


def _cells(roi: Roi, points: Array, shape: tuple[int, ...]) -> npt.NDArray[np.int64]:
    """Find the cells [z, y, x] that contain points (x, y, z) of the image."""
    place = (np.asarray(points, np.float64) - roi.lower) / roi.cell_size
    return np.clip(np.floor(place)[..., ::-1], 0, np.array(shape) - 1).astype(np.int64)


def _paths(
    values: Floating, cells: npt.NDArray[np.int64], spacing: tuple[float, float, float]
) -> list[npt.NDArray[np.int64]]:
    """Find the cells [n, 3] of the shortest paths between the outermost points of each axis, over the gradient."""
    cost = ndimage.gaussian_gradient_magnitude(values, sigma=1.0)
    coarse = cost[::_PATH_STRIDE, ::_PATH_STRIDE, ::_PATH_STRIDE]
    # A small constant cost, so that paths through uniform bodies are short.
    coarse = coarse + 0.05 * float(cost.max()) + 1e-6
    last = np.array(coarse.shape) - 1
    paths = []
    for axis in range(3):
        start, end = cells[cells[:, axis].argmin()], cells[cells[:, axis].argmax()]
        ends = [tuple(np.minimum(cell // _PATH_STRIDE, last).tolist()) for cell in (start, end)]
        finder = graph.MCP_Geometric(coarse, sampling=spacing)
        finder.find_costs([ends[0]], [ends[1]])
        knots = np.array(finder.traceback(ends[1]), np.float64) * _PATH_STRIDE
        knots[0], knots[-1] = start, end
        fine = ndimage.zoom(knots, (2 * _PATH_STRIDE + 1, 1), order=1) if len(knots) > 1 else knots
        paths.append(np.clip(np.rint(fine), 0, np.array(values.shape) - 1).astype(np.int64))
    return paths


def _evidence(crop: _Crop, points: Array) -> Floating:
    """Compute the log likelihood ratio of object to background for each cell [z, y, x]; seeds are certain."""
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
    """Compute for each axis the neighbour (as PyMaxflow's structure) and the weights of the links to it."""
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
