"""A mask that a person brings along, to correct it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sixpoint._typing import Array, Bools, Index, Points
from sixpoint.errors import InternalError, PromptError, Violation
from sixpoint.geometry import Geometry
from sixpoint.mask import Mask, PackedMask, pack, voxels_of

__all__ = ["InitialMask"]


@dataclass(frozen=True)
class InitialMask:
    """A mask to correct: it is the answer, until clicks change it.

    Attributes:
        packed: Its voxels, in the image's own axes.
        grid: The grid that it was made for: a geometry, a size (x, y, z), or None when that is not known.
    """

    packed: PackedMask
    grid: Geometry | Index | None = None

    @classmethod
    def of(cls, mask: Array | Mask) -> InitialMask:
        """The prompt of a mask on the image's own grid.

        Args:
            mask: An array [z, y, x], the object where it is not 0; or a :class:`~sixpoint.mask.Mask`, whose geometry is
                then compared with the image's.

        Raises:
            PromptError: When it is no 3D array, or empty.
        """
        array, grid = (mask.array, mask.geometry) if isinstance(mask, Mask) else (np.asarray(mask), None)
        if array.ndim != 3:
            raise PromptError(f"mask: expected an array [z, y, x], got one of shape {array.shape}")
        packed = pack(array != 0, (0, 0, 0))
        if not packed.voxel_count:
            raise _empty()
        return cls(packed, grid or (array.shape[2], array.shape[1], array.shape[0]))

    def to_index(self, geometry: Geometry) -> Points:
        """The first and the last voxel of its box, (x, y, z), shape [2, 3].

        Raises:
            PromptError: When it is empty, no whole mask, of another grid than the image's, or beyond it.
        """
        packed = self.packed
        if packed.base_revision:
            raise PromptError(
                "mask: a whole mask is needed, not what changed of one",
                violations=(Violation("base_revision", "0"),),
            )
        ours = self.grid.same_grid(geometry) if isinstance(self.grid, Geometry) else self.grid in (None, geometry.size)
        if not ours:
            raise PromptError(
                "mask: it lies on another grid than the image; resample it to the image's grid first "
                f"(size {geometry.size})"
            )
        if not all(0 <= a < b <= n for a, b, n in zip(packed.lower, packed.upper, geometry.size, strict=True)):
            raise PromptError(
                f"mask: its box {packed.lower} to {packed.upper} is empty, or not inside the image of size "
                f"{geometry.size}",
                violations=(Violation("box", "inside the image"),),
            )
        return np.array([packed.lower, [n - 1 for n in packed.upper]], np.float64)

    def voxels(self) -> Bools:
        """The voxels of its box, bool [z, y, x].

        Raises:
            PromptError: When it arrived damaged, or holds no voxel.
        """
        try:
            found = voxels_of(self.packed)
        except InternalError as error:
            raise PromptError(f"mask: {error.message}", violations=(Violation("bits", "zstd of bits"),)) from error
        if not found.any():
            raise _empty()
        return found


def _empty() -> PromptError:
    return PromptError("mask: it is empty; begin with extreme points or a box", violations=(Violation("bits", "a 1"),))
