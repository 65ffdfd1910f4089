"""Whose objects a caller may change."""

from __future__ import annotations

from gateway.core.access.principal import Principal, Role
from sixpoint.errors import PermissionDenied

__all__ = ["check_may_change"]


def check_may_change(principal: Principal, *, owner: str) -> None:
    """Refuse a change of what belongs to somebody else of the same tenant.

    Args:
        principal: Who calls.
        owner: Subject that the object belongs to.

    Raises:
        PermissionDenied: The object is another one's, and the caller is no admin.
    """
    if principal.subject != owner and not principal.has(Role.ADMIN):
        raise PermissionDenied(
            "this session belongs to somebody else: you may read it, or go on in a fork of it; only its owner and "
            "admins may change it"
        )
