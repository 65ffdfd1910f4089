"""Simulated user with a brush: scribbles along errors, and lassos round them on one slice."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np
from scipy import ndimage
from skimage.morphology import skeletonize

from sixpoint._typing import Bools, Ints
from trainer.simulation.simulated_user import largest_error

__all__ = ["ErrorStroke", "error_lasso", "error_scribble", "largest_outline"]

# 8-connectivity: people draw on without lifting the brush.
_NEIGHBOURS = np.ones((3, 3), np.bool_)


@dataclass(frozen=True, eq=False)
class ErrorStroke:
    """What a person draws to correct an answer.

    Attributes:
        voxels: Voxels (x, y, z) drawn over, or inside the lasso, shape [n, 3]; all in one slice z.
        positive: Whether they belong to the object.
    """

    voxels: Ints
    positive: bool


def error_scribble(truth: Bools, answer: Bools) -> ErrorStroke | None:
    """Draw along the middle of the largest error, from end to end; None if nothing is wrong.

    The stroke is the longest path in the skeleton of the error's largest piece on the slice in which it is largest, as
    the centreline scribbles of nnInteractive (Isensee et al. 2025), one voxel wide.

    Args:
        truth: True mask, [z, y, x].
        answer: Mask to correct, [z, y, x].
    """
    error = largest_error(truth, answer)
    if error is None:
        return None
    number = int(error.voxels.sum(axis=(1, 2)).argmax())
    piece = _largest_piece(error.voxels[number])
    skeleton: Bools = skeletonize(piece)  # type: ignore[no-untyped-call]
    path = _longest_path(skeleton if skeleton.any() else piece)
    z, y, x = (part.start for part in error.box)
    return ErrorStroke(np.array([(x + u, y + v, z + number) for v, u in path], np.int32), error.missed)


def error_lasso(truth: Bools, answer: Bools) -> ErrorStroke | None:
    """Draw round the largest piece of missed or of extra voxels on the slice z with the most errors; None if there are
    none.

    Args:
        truth: True mask, [z, y, x].
        answer: Mask to correct, [z, y, x].
    """
    wrong = truth != answer
    if not wrong.any():
        return None
    z = int(wrong.sum(axis=(1, 2)).argmax())
    pieces = [
        (_largest_piece(wrong[z] & side), positive)
        for side, positive in ((truth[z], True), (answer[z], False))
        if (wrong[z] & side).any()
    ]
    piece, positive = max(pieces, key=lambda pair: int(np.count_nonzero(pair[0])))
    return ErrorStroke(_in_slice(piece, z), positive)


def largest_outline(truth: Bools) -> Ints:
    """Draw round an object on the slice z in which it is largest: voxels (x, y, z), shape [n, 3], holes filled.

    Args:
        truth: True mask, [z, y, x], not empty.
    """
    z = int(truth.sum(axis=(1, 2)).argmax())
    return _in_slice(ndimage.binary_fill_holes(_largest_piece(truth[z])), z)


def _in_slice(piece: Bools, z: int) -> Ints:
    return np.insert(np.argwhere(piece)[:, ::-1], 2, z, axis=1).astype(np.int32)


def _largest_piece(mask: Bools) -> Bools:
    pieces, _ = ndimage.label(mask, structure=_NEIGHBOURS)
    return np.asarray(pieces == int(np.bincount(pieces.reshape(-1))[1:].argmax()) + 1)


def _longest_path(pixels: Bools) -> list[tuple[int, int]]:
    """The way (y, x) between two pixels that are farthest apart along connected pixels: of trees the longest one."""
    wanted = {(int(y), int(x)) for y, x in np.argwhere(pixels)}
    end, _ = _farthest(wanted, min(wanted))
    other, before = _farthest(wanted, end)
    path = [other]
    while path[-1] != end:
        path.append(before[path[-1]])
    return path


def _farthest(
    wanted: set[tuple[int, int]], start: tuple[int, int]
) -> tuple[tuple[int, int], dict[tuple[int, int], tuple[int, int]]]:
    """The pixel that is reached last from a pixel, and from where each pixel was reached."""
    before, waiting, last = {start: start}, deque([start]), start
    while waiting:
        last = waiting.popleft()
        for dy, dx in np.ndindex(3, 3):
            following = last[0] + dy - 1, last[1] + dx - 1
            if following in wanted and following not in before:
                before[following] = last
                waiting.append(following)
    return last, before
