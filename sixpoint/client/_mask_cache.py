"""The masks that a client has, by segment, so that answers need only carry what changed of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from sixpoint._typing import Bools, Counts, Index
from sixpoint.errors import InternalError
from sixpoint.geometry import Geometry
from sixpoint.mask import Mask, PackedMask, check_box, cropped, voxels_of

__all__ = ["Held", "HeldMask", "received"]


_NONE = np.zeros((0, 0, 0), np.uint8)


@dataclass(frozen=True, eq=False)
class Held:
    """A segment's mask: the box that holds it, and never the array that a user was handed, who may write to it.

    Attributes:
        revision: The session's, at which the segment had it.
        lower: Index (x, y, z) of its first voxel.
        voxels: bool [z, y, x].
    """

    revision: int
    lower: Index
    voxels: Bools

    def array(self, size: Index) -> Counts:
        """The whole mask, uint8 [z, y, x], of an image of ``size`` (x, y, z); a new one each time."""
        result = np.zeros(size[::-1], np.uint8)
        result[_window(self.lower, self.voxels.shape, (0, 0, 0))] = self.voxels
        return result


class HeldMask(Mask):
    """A mask whose array is made when it is first looked at: for a large image, that takes longer than a call.

    Args:
        held: The box that holds it.
        geometry: The image's own.
        facts: The rest of a :class:`~sixpoint.mask.Mask`.
    """

    def __init__(self, held: Held, geometry: Geometry, **facts: Any) -> None:
        super().__init__(array=_NONE, geometry=geometry, **facts)
        object.__setattr__(self, "_held", held)
        object.__delattr__(self, "array")

    def __getattr__(self, name: str) -> Any:
        if name != "array":
            raise AttributeError(f"a mask has no {name}")
        array = self._held.array(self.geometry.size)
        object.__setattr__(self, "array", array)
        return array


def received(patch: PackedMask, *, revision: int, held: Held | None, size: Index) -> Held:
    """The mask that a client has after an answer.

    Args:
        patch: What the answer carried: a whole mask, or what changed of one.
        revision: The session's, with the answer.
        held: What the client had of this segment.
        size: Of the image, (x, y, z).

    Raises:
        InternalError: When it arrived damaged, or does not fit what the client had.
    """
    check_box(patch, size)
    voxels = voxels_of(patch)
    lower, first, all_of_it = patch.lower, (0, 0, 0), voxels.size
    if patch.base_revision:
        if held is None or held.revision != patch.base_revision:
            raise InternalError("what changed of a mask arrived, and not of the one that is here")
        lower, voxels = _put(voxels, lower, into=held)
        all_of_it, (voxels, first) = voxels.size, cropped(voxels)
    if np.count_nonzero(voxels) != patch.voxel_count:
        raise InternalError(
            f"the mask does not add up: {np.count_nonzero(voxels)} voxels, where {patch.voxel_count} were announced"
        )
    # Copied where a small object would keep a large box in memory.
    kept = voxels if 2 * voxels.size > all_of_it else voxels.copy()
    return Held(revision, (lower[0] + first[0], lower[1] + first[1], lower[2] + first[2]), kept)


def _put(voxels: Bools, lower: Index, *, into: Held) -> tuple[Index, Bools]:
    """A mask with the voxels of a box replaced; the box that holds both, and its first voxel."""
    boxes = [(at, part) for at, part in ((into.lower, into.voxels), (lower, voxels)) if part.size]
    if not boxes:
        return lower, voxels
    x, y, z = (min(at[axis] for at, _ in boxes) for axis in range(3))
    upper = [max(at[axis] + part.shape[2 - axis] for at, part in boxes) for axis in range(3)]
    result = np.zeros((upper[2] - z, upper[1] - y, upper[0] - x), np.bool_)
    for at, part in boxes:
        result[_window(at, part.shape, (x, y, z))] = part
    return (x, y, z), result


def _window(lower: Index, shape: tuple[int, ...], first: Index) -> tuple[slice, ...]:
    """Where a box lies in an array [z, y, x] whose first voxel is ``first``; both indices (x, y, z)."""
    return tuple(slice(lower[2 - n] - first[2 - n], lower[2 - n] - first[2 - n] + shape[n]) for n in range(3))
