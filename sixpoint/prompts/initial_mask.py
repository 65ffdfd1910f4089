"""The initial mask: an existing mask that a person wants to correct."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sixpoint._typing import Array, Bools, Index, Points
from sixpoint.errors import InternalError, PromptError, Violation
from sixpoint.geometry import Geometry
from sixpoint.mask import Mask, PackedMask, pack, unpack, voxels_of
from sixpoint.masks.contours import Contours
from sixpoint.masks.labels import object_of
from sixpoint.masks.regridding import grid_offset, map_grid, resample_nearest
from sixpoint.prompts.mask_files import read_mask_or_contours

__all__ = ["InitialMask"]


@dataclass(frozen=True)
class InitialMask:
    """A mask to correct: it is the answer until clicks change it.

    Attributes:
        packed: Packed mask, in the image's own axes.
        grid: Grid of the mask: a geometry, which is compared with the image's; a size (x, y, z), where nothing else is
            known: a mask of the image's size is then taken as one of the image; contours, which have none, so that the
            mask has no voxels until :meth:`on_grid` puts it on the image's; or None if unknown.
    """

    packed: PackedMask
    grid: Geometry | Index | Contours | None = None

    @classmethod
    def read(
        cls,
        path: str | os.PathLike[str],
        *,
        label: int | str | None = None,
        threshold: float | None = None,
    ) -> InitialMask:
        """Read a mask from a file, as ``--mask`` does. A session puts it onto the grid of its image.

        Args:
            path: Mask, label map or probability map in a NIfTI, NRRD or MetaImage file; or a DICOM SEG or RTSTRUCT, or
                a folder with one.
            label: Label of the object: its number, or its name in a DICOM SEG or RTSTRUCT, a .seg.nrrd file, or the
                JSON file beside an image (``labels.json``: ``{"1": "liver"}``). None for the only one.
            threshold: Smallest probability of the object's voxels, above 0 and at most 1, in a probability map, or a
                FRACTIONAL DICOM SEG. None: the numbers must be whole; the occupancy of a DICOM SEG is cut at one half.

        Raises:
            InvalidArgument: The threshold is out of range.
            VolumeError: The file cannot be read, holds no mask, or several objects of which none is chosen.
        """
        read = read_mask_or_contours(Path(path), label=label, threshold=threshold)
        if isinstance(read, Contours):
            return cls(pack(np.zeros((0, 0, 0), np.bool_), (0, 0, 0)), read)
        inside, geometry = read
        return cls(pack(inside, (0, 0, 0)), geometry)

    @classmethod
    def of(cls, mask: Array | Mask, *, label: int | None = None, threshold: float | None = None) -> InitialMask:
        """Make a prompt of a mask on the image's own grid.

        Args:
            mask: Array [z, y, x] with one label, above 0, inside the object, and 0 or NaN outside; or a
                :class:`~sixpoint.mask.Mask`, whose geometry must then be that of the image. An array says nothing of
                where its voxels lie: one of the image's size is taken as one of the image.
            label: Label of the object, where there are several.
            threshold: Smallest probability of the object's voxels, above 0 and at most 1, where the numbers are
                probabilities.

        Raises:
            InvalidArgument: The threshold is out of range.
            PromptError: The mask is not 3D, is empty, has several labels of which none is chosen, or numbers that are
                no labels.
        """
        array, grid = (mask.array, mask.geometry) if isinstance(mask, Mask) else (np.asarray(mask), None)
        if array.ndim != 3:
            raise PromptError(f"mask: expected an array [z, y, x], got one of shape {array.shape}")
        try:
            inside = object_of(array, label, threshold=threshold)
        except ValueError as error:
            raise PromptError(f"mask: it {error}", violations=(Violation("mask", "one object"),)) from error
        packed = pack(inside, (0, 0, 0))
        if not packed.voxel_count:
            raise _empty()
        return cls(packed, grid or (array.shape[2], array.shape[1], array.shape[0]))

    def on_grid(self, geometry: Geometry, *, resample: bool = False) -> InitialMask:
        """Return the mask on the grid of an image that has its voxels at the same places.

        The axes of the mask may be flipped or in another order, and its grid may be a part of the image's: this is
        exact. Of contours, the voxels are those whose centres lie inside.

        Args:
            geometry: Geometry of the image.
            resample: Whether a mask whose voxels lie at other places is resampled by nearest neighbours.

        Raises:
            PromptError: The voxels lie at other places, and are not to be resampled; the contours do not lie in slices
                of the image; or the object exceeds the image, or lies outside it.
        """
        if isinstance(self.grid, Contours):
            return _fill(self.grid, geometry)
        if not isinstance(self.grid, Geometry) or self.packed.base_revision or self.grid.same_grid(geometry):
            return self
        grid_map = map_grid(self.grid, geometry)
        if grid_map is None:
            return self._resampled(self.grid, geometry, resample=resample)
        array, lower = grid_map.apply(self.voxels(), self.packed.lower)
        inside = all(
            first >= 0 and first + count <= size
            for first, count, size in zip(lower, array.shape[::-1], geometry.size, strict=True)
        )
        if not inside:
            raise PromptError(
                "mask: it lies on another grid than the image, and the object exceeds the image of size "
                f"{geometry.size}; give a mask of this image"
            )
        return InitialMask(pack(array, lower), geometry)

    def _resampled(self, grid: Geometry, geometry: Geometry, *, resample: bool) -> InitialMask:
        if not resample:
            raise _other_grid(grid, geometry)
        self.voxels()  # A damaged mask is a PromptError.
        placed = resample_nearest(unpack(self.packed, grid.size).view(np.bool_), grid, geometry)
        if not placed.any():
            raise PromptError("mask: it lies outside the image; is it a mask of another image?")
        return InitialMask(pack(placed, (0, 0, 0)), geometry)

    def to_index(self, geometry: Geometry) -> Points:
        """First and last voxel (x, y, z) of the mask's box, shape [2, 3].

        Raises:
            PromptError: The mask is empty, is a change instead of a whole mask, has another grid than the image, or
                exceeds it.
        """
        packed = self.packed
        if packed.base_revision:
            raise PromptError(
                "mask: expected a whole mask, got a change of another mask",
                violations=(Violation("base_revision", "0"),),
            )
        same_grid = (
            self.grid.same_grid(geometry) if isinstance(self.grid, Geometry) else self.grid in (None, geometry.size)
        )
        if not same_grid:
            raise _other_grid(self.grid, geometry)
        if not all(0 <= a < b <= n for a, b, n in zip(packed.lower, packed.upper, geometry.size, strict=True)):
            raise PromptError(
                f"mask: its box {packed.lower} to {packed.upper} is empty, or exceeds the image of size "
                f"{geometry.size}",
                violations=(Violation("box", "inside the image"),),
            )
        return np.array([packed.lower, [n - 1 for n in packed.upper]], np.float64)

    def voxels(self) -> Bools:
        """Voxels of the mask's box, bool [z, y, x].

        Raises:
            PromptError: The mask arrived damaged, or is empty.
        """
        try:
            voxels = voxels_of(self.packed)
        except InternalError as error:
            raise PromptError(f"mask: {error.message}", violations=(Violation("bits", "zstd of bits"),)) from error
        if not voxels.any():
            raise _empty()
        return voxels


def _fill(contours: Contours, geometry: Geometry) -> InitialMask:
    """The mask of contours on the grid of an image."""
    try:
        inside = contours.rasterise(geometry)
    except ValueError as error:
        raise PromptError(f"mask: it {error}") from error
    if not inside.any():
        raise PromptError("mask: its contours hold the centre of no voxel of the image")
    return InitialMask(pack(inside, (0, 0, 0)), geometry)


def _other_grid(grid: Geometry | Index | Contours | None, geometry: Geometry) -> PromptError:
    if isinstance(grid, Contours):
        return PromptError(
            "mask: contours have no voxels yet; put them on the image with InitialMask.on_grid(geometry)"
        )
    size = grid.size if isinstance(grid, Geometry) else grid
    off = f", {grid_offset(grid, geometry):.2f} mm off at a corner" if isinstance(grid, Geometry) else ""
    return PromptError(
        f"mask: it lies on another grid than the image (size {size}{off}; the image has {geometry.size}); resample it "
        "to the image's grid first, or use --resample, or InitialMask.on_grid(geometry, resample=True)"
    )


def _empty() -> PromptError:
    return PromptError("mask: it is empty; start with extreme points or a box", violations=(Violation("bits", "a 1"),))
