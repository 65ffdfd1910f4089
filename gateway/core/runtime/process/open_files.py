"""How many files and connections this process may have open."""

from __future__ import annotations

import contextlib
import resource

__all__ = ["allowed_connections", "raise_open_files"]

# Connections leave so many file descriptors, or half of all, to the files of images, uploads and the database.
_FOR_FILES = 1024


def raise_open_files() -> None:
    """Let this process open as many files as the system permits, which is often more than it allows at first."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def allowed_connections(wanted: int) -> int:
    """Return how many connections may be open, so that files can still be opened.

    Args:
        wanted: Number of connections that the settings allow.
    """
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if limit == resource.RLIM_INFINITY:
        return wanted
    return min(wanted, max(limit // 2, limit - _FOR_FILES))
