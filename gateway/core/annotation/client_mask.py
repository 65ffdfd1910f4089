"""The mask that a client has, with which a new mask is compared so that only the changed box is sent."""

from __future__ import annotations

from dataclasses import dataclass

from sixpoint._typing import Bools

__all__ = ["ClientMask"]


@dataclass(frozen=True, eq=False)
class ClientMask:
    """Mask that the client already has.

    Attributes:
        mask: The part of the image's grid that contains the object, bool [z, y, x].
        offset: Index (x, y, z) of the first voxel of ``mask`` in the image.
        revision: Session revision of the mask.
    """

    mask: Bools
    offset: tuple[int, int, int]
    revision: int
