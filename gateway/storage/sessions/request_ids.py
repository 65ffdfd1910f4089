"""How the request ids of calls that open sessions are stored."""

from __future__ import annotations

import hashlib

from gateway.core.access import DEFAULT_TENANT

__all__ = ["stored_request_id"]

_PREFIX = "tenant:"
_DIGITS = 64 - len(_PREFIX)


def stored_request_id(request_id: str, *, tenant: str) -> str:
    """Return the form of a request id under which no other tenant finds it, or is refused for it.

    The database has one such id for an owner's name, since before there were tenants, and SQLite cannot change that
    without making the table anew. The tenant from before there were others has its ids as they are, but for one that
    somebody made up to be another tenant's: whether it is taken would tell what that tenant has opened.
    """
    if tenant == DEFAULT_TENANT and not request_id.startswith(_PREFIX):
        return request_id
    return _PREFIX + hashlib.sha256(f"{tenant}\0{request_id}".encode()).hexdigest()[:_DIGITS]
