"""The interface of limits of what one principal may do in a time."""

from __future__ import annotations

from typing import Protocol

from gateway.core.access.principal import Principal

__all__ = ["CallLimits", "Unlimited"]


class CallLimits(Protocol):
    """Limits of what one principal may do in a time."""

    def check(self, principal: Principal, method: str, nbytes: int = 0) -> None:
        """Count a call that begins, or bytes that a running one has received.

        Args:
            principal: Who calls.
            method: Full name of the method, such as /sixpoint.v1.ModelService/ListModels.
            nbytes: Bytes that a running call has received; 0 for a call that begins.

        Raises:
            ResourceExhausted: The call begins, and its principal has done too much.
        """
        ...


class Unlimited:
    """No limits."""

    def check(self, principal: Principal, method: str, nbytes: int = 0) -> None:
        """Allow it."""
