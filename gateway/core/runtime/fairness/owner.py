"""The owner for whom the running task works. An edge sets it; what a task starts inherits it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

__all__ = ["acting_for", "current_owner"]

_owner: ContextVar[str] = ContextVar("owner", default="")


def current_owner() -> str:
    """Return the owner of the call that is carried out; empty for callers without a name, who are one owner."""
    return _owner.get()


@contextmanager
def acting_for(owner: str) -> Iterator[None]:
    """Carry out the block for an owner.

    Args:
        owner: Name of the owner; empty for callers without a name.
    """
    token = _owner.set(owner)
    try:
        yield
    finally:
        _owner.reset(token)
