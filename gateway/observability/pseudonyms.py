"""What stands for callers in logs."""

from __future__ import annotations

import functools
import hashlib

from gateway.core.access import Principal

__all__ = ["pseudonym"]


def pseudonym(principal: Principal) -> str:
    """Return what stands for a caller in the log, the same at all times; empty for callers without a name.

    It is a hash: whoever knows a name can find its lines, and nobody reads names from the log.
    """
    return _hash(f"{principal.tenant}/{principal.subject}") if principal.subject else ""


@functools.lru_cache(maxsize=1024)
def _hash(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()[:12]
