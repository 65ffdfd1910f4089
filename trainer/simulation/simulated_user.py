"""A simulated person: extreme points, clicks that miss a little, and a correction where the answer is most wrong."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from sixpoint._typing import Bools, Points, Rng

__all__ = ["ErrorClick", "ErrorRegion", "error_click", "extreme_points", "jitter", "largest_error"]


MAX_JITTER_VOXELS = 3.0
MAX_JITTER_FRACTION = 0.25
"""Clicks miss by up to this part of the object's extent, or :data:`MAX_JITTER_VOXELS`, whichever is less."""
_CAREFUL_SCALE = 0.25
_CAREFUL_PROBABILITY = 0.35
"""That share of the people who miss, miss by no more than that part of the above."""

# Voxels that touch by a corner belong together: 26-connectivity, as in the CVPR 2025 challenge.
_CORNERS = np.ones((3, 3, 3), np.bool_)


@dataclass(frozen=True)
class ErrorClick:
    """A correction: the voxel (x, y, z) that is wrong, and whether it belongs to the object."""

    point: tuple[int, int, int]
    positive: bool


@dataclass(frozen=True)
class ErrorRegion:
    """A piece of what is wrong with an answer.

    Attributes:
        box: Where in the image [z, y, x] it lies.
        voxels: Which of the box's voxels it consists of.
        missed: Whether they belong to the object.
    """

    box: tuple[slice, slice, slice]
    voxels: Bools
    missed: bool

    def click(self, *, rng: Rng | None = None) -> ErrorClick:
        """A click in its middle, where it is farthest from its border; with ``rng``, on any of its voxels."""
        if rng is None:
            depth = ndimage.distance_transform_edt(np.pad(self.voxels, 1))[1:-1, 1:-1, 1:-1]
            place = np.unravel_index(int(depth.argmax()), depth.shape)
        else:
            choices = np.argwhere(self.voxels)
            place = tuple(choices[int(rng.integers(len(choices)))])
        z, y, x = (int(part.start + at) for part, at in zip(self.box, place, strict=True))
        return ErrorClick(point=(x, y, z), positive=self.missed)


def extreme_points(rng: Rng, mask: Bools) -> Points:
    """Six extreme points of a mask [z, y, x]: (x, y, z) indices, shape [6, 3], in the order -x, +x, -y, +y, -z, +z.

    Among the many voxels of an extreme one is drawn at random, as people click here or there on a flat side.
    """
    box = ndimage.find_objects(mask.astype(np.uint8))[0]
    points = []
    for axis in (2, 1, 0):
        for edge in (box[axis].start, box[axis].stop - 1):
            plane = np.argwhere(mask.take(edge, axis=axis))
            choice = plane[int(rng.integers(len(plane)))]
            points.append(np.insert(choice, axis, edge)[::-1])
    return np.array(points, np.float64)


def jitter(rng: Rng, points: Points) -> Points:
    """Points (x, y, z) moved by a random amount on every axis, as often outwards as inwards.

    Small objects move little: see :data:`MAX_JITTER_FRACTION`.
    """
    extent = points.max(axis=0) - points.min(axis=0) + 1
    reach = np.minimum(MAX_JITTER_VOXELS, MAX_JITTER_FRACTION * extent) * rng.uniform(0.2, 1.0)
    if rng.random() < _CAREFUL_PROBABILITY:
        reach = reach * _CAREFUL_SCALE
    moved: Points = points + rng.uniform(-1, 1, points.shape) * reach
    return moved


def largest_error(truth: Bools, answer: Bools) -> ErrorRegion | None:
    """The largest 26-connected piece of what is missed, or of what is too much; None when nothing is wrong.

    Args:
        truth: [z, y, x].
        answer: [z, y, x], of the same shape.
    """
    wrong = truth != answer
    pieces, count = ndimage.label(wrong, structure=_CORNERS)
    if not count:
        return None
    # Over- and under-segmentation that touch are two errors, since one click has one sign.
    sizes = np.bincount((pieces * 2 + truth).reshape(-1))
    sizes[:2] = 0
    piece, missed = divmod(int(sizes.argmax()), 2)
    box = ndimage.find_objects(pieces, max_label=piece)[piece - 1]
    return ErrorRegion(box=box, voxels=(pieces[box] == piece) & (truth[box] == bool(missed)), missed=bool(missed))


def error_click(truth: Bools, answer: Bools) -> ErrorClick | None:
    """Where a person would correct an answer: in the middle of its largest error; None when there is none.

    The protocol of the CVPR 2025 challenge "Foundation Models for Interactive 3D Biomedical Image Segmentation": the
    voxel of the largest 26-connected component of the error that lies farthest from the component's border, by the
    Euclidean distance transform.

    Args:
        truth: [z, y, x].
        answer: [z, y, x], of the same shape.
    """
    error = largest_error(truth, answer)
    return error.click() if error else None
