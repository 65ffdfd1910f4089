"""The events of an interaction's actions."""

from __future__ import annotations

from dataclasses import dataclass

from sixpoint.errors import SixpointError
from sixpoint.mask import Mask

__all__ = ["Answered", "Event", "Failed", "Phase", "Superseded"]


@dataclass(frozen=True)
class Phase:
    """An action has entered a phase.

    Attributes:
        id: Number of the action.
        name: Name of the phase: "waiting", "preprocessing", "inference" or "postprocessing".
    """

    id: int
    name: str


@dataclass(frozen=True, eq=False)
class Answered:
    """An action has succeeded.

    Attributes:
        id: Number of the action.
        segment: Number of the segment.
        mask: Mask of the segment after the action.
    """

    id: int
    segment: int
    mask: Mask


@dataclass(frozen=True, eq=False)
class Failed:
    """An action has failed and changed nothing; the stream goes on.

    Attributes:
        id: Number of the action.
        error: Reason for the failure.
    """

    id: int
    error: SixpointError


@dataclass(frozen=True)
class Superseded:
    """An action was joined to a later one, or replaced by it, while it waited.

    Attributes:
        id: Number of the action.
        by: Number of the action that carries the answer.
    """

    id: int
    by: int


Event = Phase | Answered | Failed | Superseded
"""An event of an action; the last one of each action is never a :class:`Phase`."""
