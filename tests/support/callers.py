"""Who makes the calls of tests."""

from __future__ import annotations

from gateway.core.access import Principal, Role

NOBODY = Principal("")
"""A caller without a name, at a gateway that asks for no identity."""


def caller(name: str = "", *, tenant: str = "default", role: Role = Role.ADMIN) -> Principal:
    """A caller with one role."""
    return Principal(name, tenant, frozenset({role}), "tokens" if name else "none")
