"""Take a region away from a mask."""

from __future__ import annotations

from gateway.http.nninteractive.interactions import Region
from sixpoint.errors import PromptError
from sixpoint.geometry import Geometry
from sixpoint.mask import PackedMask, pack, voxels_of
from sixpoint.prompts import InitialMask

__all__ = ["without_region"]


def without_region(mask: PackedMask, region: Region, geometry: Geometry) -> InitialMask:
    """Return a mask without a region, as a prompt that begins the object anew.

    Args:
        mask: The mask.
        region: Voxels to take away.
        geometry: Geometry of the image.

    Raises:
        PromptError: Nothing would be left.
    """
    voxels = voxels_of(mask).copy()
    z, y, x = (
        slice(max(region.lower[axis] - mask.lower[axis], 0), max(region.upper[axis] + 1 - mask.lower[axis], 0))
        for axis in (2, 1, 0)
    )
    voxels[z, y, x] = False
    if not voxels.any():
        raise PromptError("the box would take away the whole object; reset it in the viewer instead")
    return InitialMask(pack(voxels, mask.lower), geometry)
