"""Whose objects a caller may change."""

from __future__ import annotations

from gateway.core.access.principal import Principal, Role
from sixpoint.errors import PermissionDenied

__all__ = ["check_may_change"]


def check_may_change(principal: Principal, *, owner: str, what: str = "session") -> None:
    """Refuse a change of what belongs to somebody else of the same tenant.

    Args:
        principal: Who calls.
        owner: Subject that the object belongs to.
        what: What the object is: "session" or "job".

    Raises:
        PermissionDenied: The object is another one's, and the caller is no admin.
    """
    if principal.subject != owner and not principal.has(Role.ADMIN):
        read = "read it, or go on in a fork of it" if what == "session" else "read it"
        raise PermissionDenied(
            f"this {what} belongs to somebody else: you may {read}; only its owner and admins may change it"
        )
