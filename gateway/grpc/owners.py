"""The owner that a call names in its metadata."""

from __future__ import annotations

from typing import Any

import grpc.aio

from sixpoint.protocol import owner_from_metadata

__all__ = ["owner_of"]


def owner_of(context: grpc.aio.ServicerContext[Any, Any]) -> str:
    """Return the owner that a call names; empty without one.

    Raises:
        InvalidArgument: When the name is not valid, or is given twice.
    """
    return owner_from_metadata(context.invocation_metadata() or ())
