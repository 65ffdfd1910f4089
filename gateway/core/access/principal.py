"""The principal of a call: who calls, for which tenant, and in which roles."""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass, field
from typing import Literal

from sixpoint.errors import InvalidArgument, PermissionDenied

__all__ = ["DEFAULT_TENANT", "NOBODY", "Method", "Principal", "Role", "check_role", "check_tenant", "gateway_itself"]

DEFAULT_TENANT = "default"
"""Tenant of callers without an identity, and of everything that was stored before there were tenants."""

Method = Literal["none", "tokens", "oidc", "mtls", "proxy", "path"]
"""How a caller proved who it is."""

# Tenants are part of the names of blobs and files.
_TENANT = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")


class Role(enum.IntEnum):
    """A role; each may do what those before it may do.

    Attributes:
        VIEWER: Reads models, and the images, sessions and masks of the tenant.
        ANNOTATOR: Uploads images, opens sessions, annotates and segments in its own.
        ENGINEER: Makes datasets, reviews and uses saved annotations, exports, trains, publishes.
        ADMIN: Works in everybody's sessions of the tenant, and reads the audit log.
    """

    VIEWER = 1
    ANNOTATOR = 2
    ENGINEER = 3
    ADMIN = 4


@dataclass(frozen=True)
class Principal:
    """Who calls.

    Attributes:
        subject: Name of the caller, unique within its tenant; the owner of what the caller makes.
        tenant: Name of the tenant: lower-case letters, digits and hyphens.
        roles: Roles of the caller.
        method: How the caller proved who it is; "none" if it did not have to.
        expires: Time when the proof ends, seconds since 1970; None if it does not end.
        peer: Address of the other end of the connection; empty if it is not known.
    """

    subject: str
    tenant: str = DEFAULT_TENANT
    roles: frozenset[Role] = field(default=frozenset({Role.ADMIN}))
    method: Method = "none"
    expires: float | None = None
    peer: str = ""

    @property
    def role(self) -> Role | None:
        """The highest of the roles; None without one."""
        return max(self.roles, default=None)

    def __post_init__(self) -> None:
        # Names of accounts and files are made of both.
        if "\0" in self.subject or not (_TENANT.fullmatch(self.tenant) or self._is_nobody()):
            raise ValueError("the names of a principal must be checked before it is made")

    def _is_nobody(self) -> bool:
        return not (self.subject or self.tenant or self.roles)

    @property
    def account(self) -> str:
        """Name under which calls take turns and are counted, unique over all tenants."""
        return self.subject if self.tenant == DEFAULT_TENANT else f"{self.tenant}\0{self.subject}"

    def has(self, role: Role) -> bool:
        """Whether the caller has a role, or one that includes it."""
        return self.role is not None and self.role >= role


NOBODY = Principal("", "", frozenset())
"""A caller who is not known, for the audit log."""


def gateway_itself(tenant: str) -> Principal:
    """Return who does what no caller asked for, such as the removal of unused images, for the audit log."""
    return Principal("", tenant, frozenset())


def check_role(principal: Principal, role: Role) -> None:
    """Refuse a caller without a role.

    Raises:
        PermissionDenied: The caller has neither the role nor one that includes it.
    """
    if not principal.has(role):
        roles = "no role" if principal.role is None else f"the role {principal.role.name.lower()}"
        raise PermissionDenied(
            f"this call needs the role {role.name.lower()}, and you have {roles}; ask whoever manages the gateway's "
            "users for it"
        )


def check_tenant(name: str) -> str:
    """Return the name of a tenant.

    Raises:
        InvalidArgument: It is no such name.
    """
    if not _TENANT.fullmatch(name):
        raise InvalidArgument(
            "a tenant's name has 1 to 63 lower-case letters, digits and hyphens, and neither starts nor ends with a "
            "hyphen"
        )
    return name
