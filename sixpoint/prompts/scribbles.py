"""Scribbles: voxels that a person draws over, which belong to the object or do not."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from sixpoint._typing import Array, FrameName, Ints, PointLike, Points
from sixpoint.errors import PromptError, Violation
from sixpoint.geometry import Geometry
from sixpoint.prompts.frames import Frame
from sixpoint.prompts.mask_files import read_mask
from sixpoint.prompts.placing import as_points, index_inside, nearest_voxels
from sixpoint.prompts.voxel_grids import move_to_grid
from sixpoint.prompts.voxel_runs import MAX_VOXELS, VoxelRuns, check_voxel_count

__all__ = ["Scribble", "check_sign"]


@dataclass(frozen=True, init=False)
class Scribble:
    """A correction of many voxels: all of them belong to the object (positive), or none of them does (negative).

    Every voxel is as the scribble says in the next mask, and in those after it until another prompt says otherwise. A
    network that has no channel for scribbles is given one click in the middle of each.

    Attributes:
        positive: Whether the voxels belong to the object.
        runs: The voxels, packed, in the image's own axes; None while they are points in mm.
        points: Points (x, y, z) in ``frame``, whose voxels are meant; empty once they are voxels.
        frame: Frame of ``points``.
        grid: Grid of a file that the voxels were read from, which is compared with the image's; None if unknown.

    Raises:
        PromptError: The frame is unknown, there are no voxels or too many, or they are neither points nor a mask.
    """

    positive: bool
    runs: VoxelRuns | None
    points: tuple[tuple[float, float, float], ...] = field(repr=False)
    frame: Frame
    grid: Geometry | None

    def __init__(
        self,
        voxels: Sequence[PointLike] | Points | Array | VoxelRuns,
        positive: bool = True,
        frame: Frame | FrameName = Frame.VOXEL,
        *,
        grid: Geometry | None = None,
    ) -> None:
        """Make a scribble.

        Args:
            voxels: Points (x, y, z) in ``frame``, shape [n, 3], each of which means the voxel it lies in; or a mask
                [z, y, x] of the image's size, not 0 where the person drew.
            positive: Whether the voxels belong to the object.
            frame: Frame of the points; it may be given by its name, "voxel", "lps" or "ras".
            grid: Grid that a mask lies on; None for the image's.
        """
        object.__setattr__(self, "positive", check_sign(positive, what="scribble"))
        object.__setattr__(self, "frame", Frame.parse(frame))
        object.__setattr__(self, "grid", grid)
        runs, points = _read(voxels, self.frame)
        object.__setattr__(self, "runs", runs)
        object.__setattr__(self, "points", points)

    @classmethod
    def read(cls, path: str | os.PathLike[str], positive: bool = True, *, label: int | str | None = None) -> Scribble:
        """Read a scribble from a label map, as ``--scribble`` does. A session puts it onto the grid of its image.

        Args:
            path: NIfTI, NRRD or MetaImage file, or DICOM SEG, whose voxels are not 0 where the person drew.
            positive: Whether the voxels belong to the object.
            label: Label of the scribble: its number or name; None for the only one.

        Raises:
            PromptError: There are too many voxels.
            VolumeError: The file cannot be read, is empty, or has several labels of which none is chosen.
        """
        inside, geometry = read_mask(Path(path), label=label)
        return cls(inside, positive, grid=geometry)

    @property
    def voxel_count(self) -> int:
        """Number of voxels, before duplicates are dropped."""
        return self.runs.voxel_count if self.runs is not None else len(self.points)

    def on_grid(self, geometry: Geometry) -> Scribble:
        """Return the scribble as voxels of an image.

        Args:
            geometry: Geometry of the image.

        Raises:
            PromptError: A point lies outside the image, or the voxels of a file lie at other places than the image's.
        """
        if self.runs is None:
            fields = [f"points[{n}]" for n in range(len(self.points))]
            index = index_inside(self.points, self.frame, geometry, what="points", fields=fields)
            return Scribble(VoxelRuns.of(nearest_voxels(index, geometry)), self.positive)
        return Scribble(move_to_grid(self.runs, self.grid, geometry, what="scribble"), self.positive)

    def voxels(self, geometry: Geometry) -> Ints:
        """The voxels (x, y, z) in the image's own axes, shape [n, 3], in the order of z, y, x, each of them once.

        Args:
            geometry: Geometry of the image.

        Raises:
            PromptError: The voxels arrived damaged, exceed the image, or lie on another grid.
        """
        placed = self.on_grid(geometry)
        assert placed.runs is not None
        return placed.runs.voxels(geometry.size)

    def to_index(self, geometry: Geometry) -> Points:
        """First and last voxel (x, y, z) of the scribble's box, shape [2, 3].

        Raises:
            PromptError: The voxels arrived damaged, exceed the image, or lie on another grid.
        """
        voxels = self.voxels(geometry)
        return np.stack([voxels.min(axis=0), voxels.max(axis=0)]).astype(np.float64)


def check_sign(positive: object, *, what: str) -> bool:
    """Return whether a prompt is positive.

    Raises:
        PromptError: The value is neither true nor false.
    """
    if not isinstance(positive, bool | np.bool_):
        raise PromptError(
            f"{what}: positive must be True or False, got {positive!r}",
            violations=(Violation("positive", "True or False"),),
        )
    return bool(positive)


def _read(voxels: object, frame: Frame) -> tuple[VoxelRuns | None, tuple[tuple[float, float, float], ...]]:
    """Read the voxels of a scribble: packed where they are voxels, and points where they are in mm."""
    if isinstance(voxels, VoxelRuns):
        return voxels, ()
    try:
        array = np.asarray(voxels)
    except ValueError:
        array = np.empty(0)
    if array.ndim == 3:
        if frame is not Frame.VOXEL:
            raise PromptError("scribble: a mask [z, y, x] has no frame; leave frame out")
        if array.dtype.kind not in "biuf":
            raise _no_voxels(f"a mask of the type {array.dtype}")
        with np.errstate(invalid="ignore"):
            return VoxelRuns.of_mask(np.nan_to_num(array) != 0 if array.dtype.kind == "f" else array != 0), ()
    if array.ndim != 2 or array.shape[1:] != (3,) or array.dtype.kind not in "iuf":
        raise _no_voxels(f"an array of shape {array.shape} and type {array.dtype}")
    check_voxel_count(len(array), what="scribble")
    if not np.isfinite(array).all():
        raise _no_voxels("numbers that are not finite")
    if frame is not Frame.VOXEL:
        return None, as_points(array)
    whole = np.floor(array + 0.5)
    if (whole < 0).any() or (whole >= 2**31).any():
        place = tuple(array[((whole < 0) | (whole >= 2**31)).any(axis=1)][0].tolist())
        raise PromptError(
            f"scribble: voxel {place} lies outside the image",
            violations=(Violation("voxels", "inside the image"),),
        )
    return VoxelRuns.of(whole.astype(np.int64)), ()


def _no_voxels(got: str) -> PromptError:
    return PromptError(
        f"scribble: expected points (x, y, z), shape [n, 3], or a mask [z, y, x]; got {got}",
        violations=(Violation("voxels", f"1 to {MAX_VOXELS} voxels"),),
    )
