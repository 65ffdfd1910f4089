"""How the request ids of calls that open sessions are stored."""

from __future__ import annotations

import hashlib

from gateway.core.access import DEFAULT_TENANT

__all__ = ["stored_request_id"]


def stored_request_id(request_id: str, *, tenant: str) -> str:
    """Return the form of a request id under which no other tenant finds it, or is refused for it.

    The database has one such id for an owner's name, since before there were tenants, and SQLite cannot change that
    without making the table anew.
    """
    if tenant == DEFAULT_TENANT:
        return request_id
    return hashlib.sha256(f"{tenant}\0{request_id}".encode()).hexdigest()
