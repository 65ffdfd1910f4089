"""Free ports."""

from __future__ import annotations

import random
import socket
from collections.abc import Iterator

__all__ = ["free_port"]


def _candidates() -> Iterator[int]:
    """Ports that the system gives to no connection by itself, each once, in another order in each process."""
    ports = list(range(20_000, 32_000))
    random.SystemRandom().shuffle(ports)
    for port in ports:
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        yield port


_FREE = _candidates()


def free_port() -> int:
    """A port on which nothing listens; another one at each call."""
    return next(_FREE)
