"""Failed attempts to authenticate, throttled for each peer."""

from __future__ import annotations

import ipaddress
import logging
import time
from collections.abc import Callable

from gateway.authentication.buckets import Buckets
from gateway.authentication.refusal import RefusalKind

__all__ = ["PeerThrottle"]

_log = logging.getLogger(__name__)

_BURST, _PER_SECOND = 10, 1.0
_LINES, _LINES_PER_SECOND = 20, 1.0
# Whoever has one address of IPv6 has as many as they want of its network.
_IPV6_NETWORK = 64


class PeerThrottle:
    """Counts, throttles and logs failed attempts.

    A peer may fail ten times at once and once a second after that. Only failures count: behind one address there may be
    many people, and the credentials of the others are still taken.

    Args:
        on_failure: Function called with the kind of each failure, throttled or not.
        clock: Function that returns the time in seconds.
    """

    def __init__(
        self, on_failure: Callable[[RefusalKind], None] = lambda _: None, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._on_failure = on_failure
        self._peers: Buckets[str] = Buckets(_PER_SECOND, _BURST, clock=clock)
        self._lines: Buckets[None] = Buckets(_LINES_PER_SECOND, _LINES, clock=clock)
        self._unlogged = 0

    def fail(self, peer: str, kind: RefusalKind) -> float:
        """Note a failed attempt; return 0, or the seconds for which the peer should wait if it fails too often.

        Args:
            peer: Address of the peer.
            kind: Why it failed.
        """
        self._on_failure(kind)
        wait = self._peers.take(_network(peer))
        # Anyone who reaches the port could fill the log.
        if self._lines.take(None):
            self._unlogged += 1
        else:
            _log.warning(
                "authentication failed",
                extra={"kind": kind, "peer": peer, "throttled": wait > 0, "not_logged": self._unlogged},
            )
            self._unlogged = 0
        return wait


def _network(peer: str) -> str:
    try:
        address = ipaddress.ip_address(peer)
    except ValueError:
        return peer
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped:
            return str(address.ipv4_mapped)
        return str(ipaddress.ip_network((address, _IPV6_NETWORK), strict=False))
    return peer
