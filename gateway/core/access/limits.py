"""The interface of limits of what one principal may do in a time."""

from __future__ import annotations

import enum
from typing import Protocol

from gateway.core.access.principal import Principal

__all__ = ["Activity", "CallLimits", "Unlimited"]


class Activity(enum.Enum):
    """What a principal begins, whichever edge it came through."""

    CALL = enum.auto()
    UPLOAD = enum.auto()
    SEGMENTATION = enum.auto()


class CallLimits(Protocol):
    """Limits of what one principal may do in a time."""

    def check(self, principal: Principal, activity: Activity) -> None:
        """Count something that begins. Each upload and each segmentation is part of a call, which is counted, too.

        Args:
            principal: Who begins it.
            activity: What it is.

        Raises:
            ResourceExhausted: The principal has done too much.
        """
        ...

    def count_uploaded(self, principal: Principal, nbytes: int) -> None:
        """Count bytes that an upload has received; it is not cut off."""
        ...


class Unlimited:
    """No limits."""

    def check(self, principal: Principal, activity: Activity) -> None:
        """Allow it."""

    def count_uploaded(self, principal: Principal, nbytes: int) -> None:
        """Count nothing."""
