"""The stages that a prompt or a segmentation passes through."""

from __future__ import annotations

from enum import Enum, auto

__all__ = ["Stage"]


class Stage(Enum):
    """Stage that a running call has reached, in order."""

    WAITING = auto()
    PREPROCESSING = auto()
    INFERENCE = auto()
    POSTPROCESSING = auto()
