"""The masks that a client has of a session's segments, so that an answer need only carry what changed.

A client caches the smallest box that holds a mask, as booleans, and builds the array of a :class:`LazyMask` from it
when a user first reads it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from sixpoint._typing import Bools, Counts, Index
from sixpoint.errors import InternalError
from sixpoint.geometry import Geometry
from sixpoint.mask import Mask, PackedMask, Timings, check_box, cropped, voxels_of

__all__ = ["CachedMask", "LazyMask", "apply_patch"]


@dataclass(frozen=True, eq=False)
class CachedMask:
    """The mask of a segment, reduced to the box that holds it. No user has access to its voxels.

    Attributes:
        revision: Revision of the session at which the segment had this mask.
        lower: Index (x, y, z) of the box's first voxel.
        voxels: Voxels of the box, bool [z, y, x].
    """

    revision: int
    lower: Index
    voxels: Bools

    def to_array(self, size: Index) -> Counts:
        """Return the whole mask as a new array, uint8 [z, y, x].

        Args:
            size: Size of the image, (x, y, z).
        """
        result = np.zeros(size[::-1], np.uint8)
        result[_slices(self.lower, self.voxels.shape, origin=(0, 0, 0))] = self.voxels
        return result


class LazyMask(Mask):
    """A mask whose array is built on first access, since that takes longer than a call for a large image.

    It is created by :meth:`from_cache`. The constructor is that of :class:`~sixpoint.mask.Mask`, with an array, so that
    ``dataclasses.replace`` works.
    """

    _cached: CachedMask

    @classmethod
    def from_cache(
        cls,
        cached: CachedMask,
        geometry: Geometry,
        *,
        model: str,
        model_version: str,
        revision: int,
        timings: Timings,
        reply_bytes: int,
        names: Mapping[int, str],
        image_digest: str,
    ) -> LazyMask:
        """Create a mask from a cached one.

        Args:
            cached: Box that holds the mask.
            geometry: Geometry of the image.
            model: Name of the model that made the mask.
            model_version: Version of that model.
            revision: Revision of the session with this answer.
            timings: Durations of the server's phases.
            reply_bytes: Size of the compressed mask in the reply.
            names: Name of the segment by its label in the array, 1; empty if it has none.
            image_digest: Digest of the image.
        """
        mask = cls.__new__(cls)
        # Not through the constructor, which needs an array; and a frozen dataclass permits no assignment.
        mask.__dict__.update(
            _cached=cached,
            geometry=geometry,
            model=model,
            model_version=model_version,
            revision=revision,
            timings=timings,
            reply_bytes=reply_bytes,
            names=names,
            image_digest=image_digest,
        )
        return mask

    @cached_property
    def array(self) -> Counts:
        """Voxels of the mask, uint8 [z, y, x], 0 and 1, on the image's own grid."""
        return self._cached.to_array(self.geometry.size)

    def _voxel_count(self) -> int:
        # Without the array, which a user may have changed once it is built.
        return super()._voxel_count() if "array" in self.__dict__ else int(np.count_nonzero(self._cached.voxels))


def apply_patch(patch: PackedMask, *, revision: int, cached: CachedMask | None, size: Index) -> CachedMask:
    """Return the mask that a segment has after an answer.

    Args:
        patch: Patch of the answer: a whole mask, or the box in which it changed.
        revision: Revision of the session after the answer.
        cached: Mask that the client has of this segment, if any.
        size: Size of the image, (x, y, z).

    Raises:
        InternalError: The patch arrived damaged, or it does not fit the cached mask.
    """
    check_box(patch, size)
    voxels = voxels_of(patch)
    lower, offset, box_size = patch.lower, (0, 0, 0), voxels.size
    if patch.base_revision:
        if cached is None or cached.revision != patch.base_revision:
            raise InternalError(
                f"the answer changes the mask of revision {patch.base_revision}, which this client does not have"
            )
        lower, voxels = _merge(voxels, lower, cached)
        box_size, (voxels, offset) = voxels.size, cropped(voxels)
    if np.count_nonzero(voxels) != patch.voxel_count:
        raise InternalError(
            f"the mask has {np.count_nonzero(voxels)} voxels, but the answer announces {patch.voxel_count}"
        )
    # A view of a small object would keep its whole large box in memory.
    voxels = voxels if 2 * voxels.size > box_size else voxels.copy()
    return CachedMask(revision, (lower[0] + offset[0], lower[1] + offset[1], lower[2] + offset[2]), voxels)


def _merge(voxels: Bools, lower: Index, cached: CachedMask) -> tuple[Index, Bools]:
    """Replace a box of the cached mask; return the first voxel (x, y, z) of the box that holds both, and its voxels."""
    boxes = [(start, part) for start, part in ((cached.lower, cached.voxels), (lower, voxels)) if part.size]
    if not boxes:
        return lower, voxels
    x, y, z = (min(start[axis] for start, _ in boxes) for axis in range(3))
    upper = [max(start[axis] + part.shape[2 - axis] for start, part in boxes) for axis in range(3)]
    result = np.zeros((upper[2] - z, upper[1] - y, upper[0] - x), np.bool_)
    for start, part in boxes:
        result[_slices(start, part.shape, origin=(x, y, z))] = part
    return (x, y, z), result


def _slices(lower: Index, shape: tuple[int, ...], *, origin: Index) -> tuple[slice, ...]:
    """Slices [z, y, x] of a box in an array.

    Args:
        lower: Index (x, y, z) of the box's first voxel in the image.
        shape: Shape of the box, [z, y, x].
        origin: Index (x, y, z) of the array's first voxel in the image.
    """
    return tuple(slice(lower[2 - n] - origin[2 - n], lower[2 - n] - origin[2 - n] + shape[n]) for n in range(3))
