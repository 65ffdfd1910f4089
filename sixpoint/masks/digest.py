"""The digest of the masks of an annotation."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterable
from dataclasses import dataclass

from sixpoint._typing import Index

__all__ = ["NumberedBox", "masks_digest"]


@dataclass(frozen=True)
class NumberedBox:
    """The smallest box of a mask, and its bits.

    Attributes:
        number: Number of the mask's label.
        lower: Index (x, y, z) of the box's first voxel.
        upper: Index (x, y, z) one past the box's last voxel.
        sha256: SHA-256 of the box's bits.
    """

    number: int
    lower: Index
    upper: Index
    sha256: bytes


def masks_digest(boxes: Iterable[NumberedBox]) -> str:
    """Return the SHA-256 over number, box and bits of masks, in their order: equal masks have equal ones."""
    whole = hashlib.sha256()
    for each in boxes:
        whole.update(struct.pack("<B6q", each.number, *each.lower, *each.upper) + each.sha256)
    return whole.hexdigest()
