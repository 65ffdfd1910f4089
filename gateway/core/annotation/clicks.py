"""The clicks on one object, in canonical voxel indices."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sixpoint._typing import Bools, Points, Size
from sixpoint.errors import ResourceExhausted

__all__ = ["MAX_CLICKS", "Clicks", "check_click_count"]

MAX_CLICKS = 1000
"""Clicks on one object: far more than a person makes. Each of them costs time in every call."""


@dataclass(frozen=True, eq=False)
class Clicks:
    """Clicks in the order in which they were made: of two in one voxel, the later one counts.

    Attributes:
        points: Clicked points (x, y, z), shape [n, 3].
        positive: Whether each click is positive, bool, shape [n].
    """

    points: Points
    positive: Bools

    def __len__(self) -> int:
        return len(self.positive)

    def then(self, later: Clicks) -> Clicks:
        """Return these clicks followed by later ones."""
        return Clicks(np.concatenate([self.points, later.points]), np.concatenate([self.positive, later.positive]))

    def between(self, first: int, last: int) -> Clicks:
        """Return the clicks from one number up to, and without, another."""
        return Clicks(self.points[first:last], self.positive[first:last])

    def voxels(self, size: Size) -> npt.NDArray[np.int64]:
        """Return the clicked voxels (x, y, z) of an image of ``size``, shape [n, 3]."""
        # A point on the upper face of the image belongs to the last voxel.
        return np.clip(np.floor(self.points + 0.5), 0, np.array(size) - 1).astype(np.int64)


def check_click_count(clicks: int) -> None:
    """Refuse more than :data:`MAX_CLICKS` clicks on one object.

    Raises:
        ResourceExhausted: When there are more.
    """
    if clicks > MAX_CLICKS:
        raise ResourceExhausted(
            f"{clicks} clicks on one object, and {MAX_CLICKS} is the limit; start the object anew with extreme points "
            "or a box"
        )
