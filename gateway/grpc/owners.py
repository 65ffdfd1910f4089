"""Whose a call is."""

from __future__ import annotations

from typing import Any

import grpc.aio

from sixpoint.protocol import owner_from_metadata

__all__ = ["owner_of"]


def owner_of(context: grpc.aio.ServicerContext[Any, Any]) -> str:
    """The owner that a call names; empty when it names none.

    Raises:
        InvalidArgument: When the name cannot be one, or is given twice.
    """
    return owner_from_metadata(context.invocation_metadata() or ())
