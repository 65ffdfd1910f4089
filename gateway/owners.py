"""Whose a call is."""

from __future__ import annotations

from typing import Any

import grpc.aio

from sixpoint.errors import InvalidArgument

__all__ = ["OWNER_KEY", "owner_of"]

OWNER_KEY = "sixpoint-owner"
"""Metadata of a call: a name for quotas and lists, up to 200 characters. It is no proof of identity: a proxy that
knows its callers sets it."""
_MOST = 200


def owner_of(context: grpc.aio.ServicerContext[Any, Any]) -> str:
    """The owner that a call names; empty when it names none.

    Raises:
        InvalidArgument: When the name is too long, or is given twice.
    """
    names = [value for key, value in context.invocation_metadata() or () if key == OWNER_KEY]
    if len(names) > 1:
        raise InvalidArgument(f"a call has one owner; the metadata {OWNER_KEY} was given {len(names)} times")
    name = str(names[0]) if names else ""
    if len(name) > _MOST:
        raise InvalidArgument(f"an owner's name has at most {_MOST} characters, got {len(name)} ({OWNER_KEY})")
    return name
