"""Masks that clients send, as what they mean: a mask to start from, a scribble, a lasso."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from gateway.http.nninteractive.interactions import Region, Seed, StrokeDrawn, read_bounds, read_flag
from sixpoint._typing import Bools, Index
from sixpoint.errors import UploadError
from sixpoint.geometry import Geometry
from sixpoint.mask import pack
from sixpoint.prompts import InitialMask
from sixpoint.prompts.voxel_runs import VoxelRuns, check_voxel_count

__all__ = ["StrokeReader", "make_seed"]


def make_seed(voxels: Bools, lower: Index, *, geometry: Geometry) -> Seed:
    """Return a mask to start from.

    Args:
        voxels: Box of the mask [z, y, x] outside which it is 0; empty for an empty mask.
        lower: Index (x, y, z) of its first voxel.
        geometry: Geometry of the image.
    """
    return Seed(InitialMask(pack(voxels, lower), geometry) if voxels.size else None)


class StrokeReader:
    """Reads a scribble or a lasso, which comes as a part of the image.

    Args:
        meta: Header beside the array.
        lasso: Whether it is a lasso.
        image_shape: Voxels of the image along the client's axes.

    Attributes:
        shape: Shape that the array must have.

    Raises:
        PromptError: Its box is none, or exceeds the image.
    """

    def __init__(self, meta: Mapping[str, object], *, lasso: bool, image_shape: Index) -> None:
        self._positive = read_flag(meta, "include_interaction")
        self._lasso = lasso
        self._place: Index = (0, 0, 0)
        self.shape = image_shape
        bounds = meta.get("interaction_bbox")
        if bounds is not None:
            region = read_bounds(bounds, shape=image_shape, name="interaction_bbox")
            x, y, z = (b - a + 1 for a, b in zip(region.lower, region.upper, strict=True))
            if bounds != [[a, a + n] for a, n in zip(region.lower[::-1], (z, y, x), strict=True)]:
                raise UploadError("interaction_bbox exceeds the image, or is not whole voxels")
            self._place, self.shape = region.lower, (z, y, x)

    def make(self, voxels: Bools, lower: Index) -> StrokeDrawn:
        """Return the stroke.

        Args:
            voxels: Box of the array [z, y, x] outside which it is 0; empty without a voxel.
            lower: Index (x, y, z) of its first voxel in the array.

        Raises:
            PromptError: There are too many voxels.
        """
        place = np.array(self._place, np.int64) + np.array(lower, np.int64)
        if not voxels.size:
            return StrokeDrawn(None, Region(self._place, self._place), self._positive, self._lasso)
        check_voxel_count(int(np.count_nonzero(voxels)), what="lasso" if self._lasso else "scribble")
        x, y, z = place.tolist()
        last = (x + voxels.shape[2] - 1, y + voxels.shape[1] - 1, z + voxels.shape[0] - 1)
        runs = VoxelRuns.of(np.argwhere(voxels)[:, ::-1] + place)
        return StrokeDrawn(runs, Region((x, y, z), last), self._positive, self._lasso)
