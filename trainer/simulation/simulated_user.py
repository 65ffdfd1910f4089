"""Simulated user: extreme points, jittered points, and corrections in the largest error."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from sixpoint._typing import Bools, Points, Rng

__all__ = [
    "MAX_JITTER_FRACTION",
    "ErrorClick",
    "ErrorRegion",
    "clicked_error",
    "error_click",
    "extreme_points",
    "jitter",
    "largest_error",
]


MAX_JITTER_VOXELS = 3.0
MAX_JITTER_FRACTION = 0.25
"""Points are off by up to this fraction of the object's extent, or :data:`MAX_JITTER_VOXELS`, if that is less."""
_CAREFUL_SCALE = 0.25
_CAREFUL_PROBABILITY = 0.35
"""With this probability, jitter is scaled by :data:`_CAREFUL_SCALE`: careful users."""

# 26-connectivity, as in the CVPR 2025 challenge.
_CORNERS = np.ones((3, 3, 3), np.bool_)


@dataclass(frozen=True)
class ErrorClick:
    """A correcting click.

    Attributes:
        point: Wrong voxel, (x, y, z).
        positive: Whether the voxel belongs to the object.
    """

    point: tuple[int, int, int]
    positive: bool


@dataclass(frozen=True)
class ErrorRegion:
    """A connected region of wrong voxels.

    Attributes:
        box: Bounding box of the region in the image, [z, y, x].
        voxels: Voxels of the region within the box, bool [z, y, x].
        missed: Whether the voxels belong to the object.
    """

    box: tuple[slice, slice, slice]
    voxels: Bools
    missed: bool

    def click(self, *, rng: Rng | None = None) -> ErrorClick:
        """Click in the middle of the region, farthest from its border; with ``rng``, on a random voxel of it."""
        if rng is None:
            depth = ndimage.distance_transform_edt(np.pad(self.voxels, 1))[1:-1, 1:-1, 1:-1]
            place = np.unravel_index(int(depth.argmax()), depth.shape)
        else:
            choices = np.argwhere(self.voxels)
            place = tuple(choices[int(rng.integers(len(choices)))])
        z, y, x = (int(part.start + at) for part, at in zip(self.box, place, strict=True))
        return ErrorClick(point=(x, y, z), positive=self.missed)


def extreme_points(rng: Rng, mask: Bools) -> Points:
    """Draw the six extreme points of a mask [z, y, x].

    An extreme plane often has many voxels. One of them is drawn at random, as people click anywhere on a flat side.

    Returns:
        Indices (x, y, z), shape [6, 3], in the order -x, +x, -y, +y, -z, +z.
    """
    box = ndimage.find_objects(mask.astype(np.uint8))[0]
    points = []
    for axis in (2, 1, 0):
        for edge in (box[axis].start, box[axis].stop - 1):
            plane = np.argwhere(mask.take(edge, axis=axis))
            choice = plane[int(rng.integers(len(plane)))]
            points.append(np.insert(choice, axis, edge)[::-1])
    return np.array(points, np.float64)


def jitter(rng: Rng, points: Points, *, fraction: float = MAX_JITTER_FRACTION) -> Points:
    """Move points (x, y, z) by a random amount along every axis, outwards and inwards with equal probability.

    Args:
        rng: Generator that draws the amounts.
        points: Extreme points, shape [n, 3].
        fraction: Fraction of the object's extent that they move at most, up to :data:`MAX_JITTER_VOXELS`: the points of
            small objects move little.
    """
    extent = points.max(axis=0) - points.min(axis=0) + 1
    reach = np.minimum(MAX_JITTER_VOXELS, fraction * extent) * rng.uniform(0.2, 1.0)
    if rng.random() < _CAREFUL_PROBABILITY:
        reach = reach * _CAREFUL_SCALE
    moved: Points = points + rng.uniform(-1, 1, points.shape) * reach
    return moved


def largest_error(truth: Bools, answer: Bools) -> ErrorRegion | None:
    """Find the largest 26-connected region of missed voxels, or of extra voxels; None if nothing is wrong.

    Args:
        truth: True mask, [z, y, x].
        answer: Mask to correct, [z, y, x].
    """
    wrong = truth != answer
    pieces, count = ndimage.label(wrong, structure=_CORNERS)
    if not count:
        return None
    # Touching missed and extra voxels are two errors, since a click has one sign.
    sizes = np.bincount((pieces * 2 + truth).reshape(-1))
    sizes[:2] = 0
    piece, missed = divmod(int(sizes.argmax()), 2)
    box = ndimage.find_objects(pieces, max_label=piece)[piece - 1]
    return ErrorRegion(box=box, voxels=(pieces[box] == piece) & (truth[box] == bool(missed)), missed=bool(missed))


def clicked_error(truth: Bools, answer: Bools, place: tuple[int, ...]) -> Bools:
    """Find the voxels of the error that a click hits, bool [z, y, x]; none where nothing is wrong.

    Args:
        truth: True mask, [z, y, x].
        answer: Mask to correct, [z, y, x].
        place: Index (z, y, x) of the clicked voxel.
    """
    pieces, _ = ndimage.label(truth != answer, structure=_CORNERS)
    piece = int(pieces[place])
    if not piece:
        return np.zeros(truth.shape, np.bool_)
    voxels: Bools = (pieces == piece) & (truth == truth[place])
    return voxels


def error_click(truth: Bools, answer: Bools) -> ErrorClick | None:
    """Return the click that corrects an answer: in the middle of its largest error; None if there is none.

    The protocol of the CVPR 2025 challenge "Foundation Models for Interactive 3D Biomedical Image Segmentation": the
    voxel of the largest 26-connected component of the error that lies farthest from the component's border, by the
    Euclidean distance transform.

    Args:
        truth: True mask, [z, y, x].
        answer: Mask to correct, [z, y, x].
    """
    error = largest_error(truth, answer)
    return error.click() if error else None
