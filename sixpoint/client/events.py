"""What a viewer hears of the actions that it sent into a stream."""

from __future__ import annotations

from dataclasses import dataclass

from sixpoint.errors import SixpointError
from sixpoint.mask import Mask

__all__ = ["Answered", "Event", "Failed", "Phase", "Superseded"]


@dataclass(frozen=True)
class Phase:
    """An action is under way.

    Attributes:
        id: Its number.
        name: "waiting", "preprocessing", "inference" or "postprocessing".
    """

    id: int
    name: str


@dataclass(frozen=True, eq=False)
class Answered:
    """An action is done.

    Attributes:
        id: Its number.
        segment: The segment's.
        mask: The segment as it stands after it.
    """

    id: int
    segment: int
    mask: Mask


@dataclass(frozen=True, eq=False)
class Failed:
    """An action failed, and changed nothing; the stream goes on.

    Attributes:
        id: Its number.
        error: Why.
    """

    id: int
    error: SixpointError


@dataclass(frozen=True)
class Superseded:
    """An action was joined or replaced by a later one while it waited.

    Attributes:
        id: Its number.
        by: The number of the action that has the answer.
    """

    id: int
    by: int


Event = Phase | Answered | Failed | Superseded
"""Whatever a stream tells; the last event of an action is never a :class:`Phase`."""
