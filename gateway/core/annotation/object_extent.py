"""The extent of an object: the part of the image that it takes up, with the initial mask that says so."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from sixpoint._typing import Bools, Points
from sixpoint.errors import PromptError
from sixpoint.geometry import Geometry
from sixpoint.prompts import ExtremePoints, InitialMask

__all__ = ["ObjectExtent", "expand_mask"]


@dataclass(frozen=True, eq=False)
class ObjectExtent:
    """The part of the image that an object takes up, as the prompt that started the object says.

    Attributes:
        box: Lower and upper corner (x, y, z) of the box, or of the box of the extreme points or of the initial mask;
            shape [2, 3].
        extremes: Extreme points (x, y, z), shape [n, 3]: as given, or those of the initial mask; empty for a box.
        mask: Initial mask, bool [z, y, x], from the lower to the upper voxel of ``box``; None without one.
        packed_mask: Initial mask whose voxels are not unpacked yet: ``mask`` and ``extremes`` are missing.
        whole_image: Whether a click started the object, so that ``box`` is that of the image.
        estimated: Whether a lasso started the object, so that box and extreme points are estimates.
    """

    box: Points
    extremes: Points
    mask: Bools | None = None
    packed_mask: InitialMask | None = None
    whole_image: bool = False
    estimated: bool = False

    @property
    def mask_voxels(self) -> int:
        """Number of voxels in the box of the initial mask, unpacked or not; 0 without one."""
        if self.mask is None and self.packed_mask is None:
            return 0
        return math.prod(int(edge) for edge in self.box[1] - self.box[0] + 1)


def expand_mask(extent: ObjectExtent, *, geometry: Geometry) -> ObjectExtent:
    """Unpack the initial mask of an extent; without a packed one, return the extent as it is.

    Args:
        extent: Extent of an object.
        geometry: Geometry of the image as uploaded.

    Raises:
        PromptError: When the mask is damaged, or empty.
    """
    if extent.packed_mask is None:
        return extent
    try:
        mask = geometry.orientation.to_canonical(extent.packed_mask.voxels())
    except PromptError as error:
        # A mask starts an object, and is thus the first prompt.
        raise error.under("prompts[0].mask") from None
    # The network gets the points that a person would have clicked to draw this mask.
    extremes = extent.box[0] + np.array(ExtremePoints.of_mask(mask).points)
    return replace(extent, extremes=extremes, mask=mask, packed_mask=None)
