"""Names of subjects and roles, as files, claims and headers state them."""

from __future__ import annotations

import re
from collections.abc import Iterable

from gateway.core.access import Role
from sixpoint.errors import InvalidArgument
from sixpoint.protocol import owner_to_metadata

__all__ = ["check_subject", "known_roles", "role_names"]

# Spaces of no width, and marks that turn the direction of what follows. Joiners are part of some languages' words.
_UNSEEN = re.compile("[\u00ad\u200b\u200e\u200f\u202a-\u202e\u2060-\u2069\ufeff]")
_ROLES = {role.name.lower(): role for role in Role}


def role_names() -> str:
    """The names of all roles, as a list for a sentence."""
    return ", ".join(_ROLES)


def known_roles(names: Iterable[str]) -> frozenset[Role]:
    """Return the roles that are named; other names are left out."""
    return frozenset(_ROLES[name] for name in names if name in _ROLES)


def check_subject(name: str) -> str:
    """Return the name of a subject: it becomes the owner of sessions and images.

    Raises:
        InvalidArgument: It is empty, too long, or has control characters, or others that nobody sees.
    """
    if not name.strip():
        raise InvalidArgument("the name of a subject is not empty")
    owner_to_metadata(name)
    if name != name.strip() or _UNSEEN.search(name):
        raise InvalidArgument(
            "the name of a subject has spaces around it, or characters that nobody sees: in the audit log it would "
            "look like another one's"
        )
    return name
