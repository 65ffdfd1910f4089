"""Voxels of scribbles and lassos as runs along x, compressed: what they cost depends on what was drawn, not on the
image.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import zstandard

from sixpoint._typing import Array, Bools, Ints, Size
from sixpoint.errors import PromptError, Violation

__all__ = ["MAX_RUNS", "MAX_VOXELS", "VoxelRuns", "check_voxel_count", "sorted_voxels"]

MAX_VOXELS = 2**20
"""Voxels of one scribble or lasso: a slice of 1024 x 1024. People draw some thousands."""
MAX_RUNS = 2**16
"""Runs of one scribble or lasso, 1 MiB before compression."""

_LEVEL = 3
_RUN = np.dtype("<u4")
_RUN_BYTES = 4 * _RUN.itemsize


@dataclass(frozen=True)
class VoxelRuns:
    """Voxels of an image, packed: any number of runs along x, in any order.

    Attributes:
        data: zstd frame of the runs: for each of them four little-endian uint32, x, y and z of its first voxel, and its
            number of voxels.
        voxel_count: Number of voxels of all runs; a voxel in two runs counts twice.
    """

    data: bytes = field(repr=False)
    voxel_count: int

    @classmethod
    def of(cls, voxels: npt.NDArray[np.integer], *, what: str = "scribble") -> VoxelRuns:
        """Pack voxels (x, y, z), shape [n, 3]; duplicates are dropped.

        Args:
            voxels: Indices of the voxels, 0 or more.
            what: Name of the prompt, for the error.

        Raises:
            PromptError: There are no voxels, too many, or too many runs.
        """
        check_voxel_count(len(voxels), what=what)
        # Along x within rows, so that neighbours follow each other.
        voxels = sorted_voxels(voxels)
        follows = (np.diff(voxels, axis=0) == (1, 0, 0)).all(axis=1)
        first = np.concatenate([[0], np.flatnonzero(~follows) + 1])
        counts = np.diff(np.concatenate([first, [len(voxels)]]))
        if len(first) > MAX_RUNS:
            raise PromptError(
                f"{what}: its voxels form {len(first)} runs along x, and {MAX_RUNS} is the limit; give a mask to "
                "correct (InitialMask) instead",
                violations=(Violation(_field(what), f"at most {MAX_RUNS} runs"),),
            )
        raw = np.ascontiguousarray(np.column_stack([voxels[first], counts]), _RUN).tobytes()
        return cls(zstandard.ZstdCompressor(level=_LEVEL, write_content_size=True).compress(raw), len(voxels))

    @classmethod
    def of_mask(cls, mask: Bools, *, what: str = "scribble") -> VoxelRuns:
        """Pack the voxels of a mask [z, y, x].

        Raises:
            PromptError: The mask is empty, or has too many voxels or runs.
        """
        check_voxel_count(int(np.count_nonzero(mask)), what=what)
        return cls.of(np.argwhere(mask)[:, ::-1], what=what)

    def check(self, *, what: str) -> None:
        """Refuse what is no set of voxels, or too large to be unpacked, before memory is used for it.

        Raises:
            PromptError: The stated number of voxels is out of range, or the frame states too many runs or none.
        """
        check_voxel_count(self.voxel_count, what=what)
        try:
            size = zstandard.frame_content_size(self.data)
        except zstandard.ZstdError as error:
            raise _damaged(what, "its runs do not decompress") from error
        if not 0 < size <= MAX_RUNS * _RUN_BYTES or size % _RUN_BYTES:
            raise _damaged(what, f"expected a zstd frame that states the bytes of 1 to {MAX_RUNS} runs of 16 bytes")

    def voxels(self, size: Size, *, what: str = "scribble") -> Ints:
        """Unpack the voxels (x, y, z), shape [n, 3], each of them once, in the order of z, then y, then x.

        Args:
            size: Size (x, y, z) of the image.
            what: Name of the prompt, for the error.

        Raises:
            PromptError: The runs are damaged, exceed the image, or are more or fewer voxels than stated.
        """
        self.check(what=what)
        try:
            raw = zstandard.ZstdDecompressor().decompress(self.data)
        except zstandard.ZstdError as error:
            raise _damaged(what, "its runs do not decompress") from error
        runs = np.frombuffer(raw, _RUN).reshape(-1, 4).astype(np.int64)
        counts, last = runs[:, 3], runs[:, :3] + 0
        last[:, 0] += counts - 1
        if (counts < 1).any() or counts.sum() != self.voxel_count:
            raise _damaged(what, f"its runs hold {counts.sum()} voxels, and {self.voxel_count} are stated")
        if (last >= size).any():
            place = tuple(last[(last >= size).any(axis=1)][0].tolist())
            raise PromptError(
                f"{what}: voxel {place} lies outside the image of size {tuple(size)}",
                violations=(Violation(_field(what), "inside the image"),),
            )
        steps = np.arange(self.voxel_count) - np.repeat(np.cumsum(counts) - counts, counts)
        result = np.repeat(runs[:, :3], counts, axis=0)
        result[:, 0] += steps
        return sorted_voxels(result)


def sorted_voxels(voxels: Array) -> Ints:
    """Return voxels (x, y, z), shape [n, 3], in the order of z, then y, then x, each of them once."""
    whole = np.asarray(voxels).astype(np.int64)
    low = whole.min(axis=0)
    x, y, z = (whole - low).T
    nx, ny, nz = (int(part.max()) + 1 for part in (x, y, z))
    if nx * ny * nz >= 2**62:
        return np.ascontiguousarray(np.unique(whole[:, ::-1], axis=0)[:, ::-1], np.int32)
    # One number for each voxel is sorted ten times as fast as three.
    keys = (z * ny + y) * nx + x
    if (np.diff(keys) > 0).all():
        return np.ascontiguousarray(whole, np.int32)
    rest, x = np.divmod(np.unique(keys), nx)
    z, y = np.divmod(rest, ny)
    return np.ascontiguousarray(np.stack([x, y, z], axis=1) + low, np.int32)


def check_voxel_count(count: int, *, what: str) -> None:
    """Refuse a prompt without voxels, or with too many.

    Raises:
        PromptError: There are none, or more than :data:`MAX_VOXELS`.
    """
    if not 1 <= count <= MAX_VOXELS:
        amount = "it has no voxels" if count < 1 else f"it has {count} voxels, and {MAX_VOXELS} is the limit"
        advice = "draw at least one" if count < 1 else "give a mask to correct (InitialMask) instead"
        raise PromptError(
            f"{what}: {amount}; {advice}", violations=(Violation(_field(what), f"1 to {MAX_VOXELS} voxels"),)
        )


def _damaged(what: str, why: str) -> PromptError:
    return PromptError(f"{what}: it arrived damaged: {why}", violations=(Violation(_field(what), "runs of voxels"),))


def _field(what: str) -> str:
    """The field of a prompt's message that holds the runs."""
    return "filled" if what == "lasso" else "voxels"
