"""What is done on one image of a lease."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from gateway.core.sessions import SessionRow
from gateway.http.nninteractive.interactions import Interaction
from sixpoint._typing import Index
from sixpoint.geometry import Geometry

__all__ = ["MAX_QUEUE", "MAX_QUEUE_BYTES", "SEGMENT", "Window"]

SEGMENT = 1
"""Segment of the session: one object is outlined at a time, and the viewer keeps those before."""
MAX_QUEUE = 100
"""Interactions that wait for a prediction."""
MAX_QUEUE_BYTES = 2**18
"""Bytes of strokes that wait for a prediction."""


@dataclass(eq=False)
class Window:
    """An image of a lease, with the session of ours on it.

    Attributes:
        row: Record of the session, as it was opened.
        geometry: Geometry of the image.
        steps: Steps in force on the object.
        client_empty: Whether the client has an empty mask, whatever the object is.
        buffer: Type of the client's mask; None before it announced one.
        queue: Interactions that wait for a prediction.
    """

    row: SessionRow
    geometry: Geometry
    steps: int = 0
    client_empty: bool = True
    buffer: np.dtype[np.generic] | None = None
    queue: list[Interaction] = field(default_factory=list)

    @property
    def shape(self) -> Index:
        """Voxels along the client's axes, whose first one is the slices."""
        return self.geometry.shape
