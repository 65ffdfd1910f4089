"""Leases: what a client claims before it sends an image, and keeps by its heartbeats.

A token names its caller, its model and itself, so that it is recognised after a restart and at every gateway, though
nothing is stored for it; the sessions of its images are found by request ids that are computed from it.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import re
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from gateway.core.access import Principal
from gateway.http.errors import HttpRefusal
from gateway.http.nninteractive.window import Window
from sixpoint.errors import ResourceExhausted, SessionExpired, SixpointError

__all__ = ["Clocks", "Lease", "Leases", "lease_lost"]

_TOKEN = re.compile(r"[0-9a-f]{32}")
_RANDOM_BYTES = 10
_MAX_ENDED = 10_000
_GONE, _FULL = 410, 503
_RETRY_S = 10.0


@dataclass(frozen=True)
class Clocks:
    """The two clocks of a lease.

    Attributes:
        idle: Seconds without work after which a lease ends.
        liveness: Seconds without a word after which a lease ends.
    """

    idle: float
    liveness: float


@dataclass(eq=False)
class Lease:
    """A lease.

    Attributes:
        token: Its token.
        model: Name of the model.
        principal: Who claimed it.
        claimed: Whether this process gave it away; another one's is recognised, and its image looked up.
        seen: When something came from its client.
        active: When its client last worked.
        busy: Number of its calls that run.
        lock: Held while one of its calls changes something.
        images: Number of images that its client sent.
        window: The last image, and what is done on it; None before the first one.
    """

    token: str
    model: str
    principal: Principal
    claimed: bool
    seen: float
    active: float
    busy: int = 0
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    images: int = 0
    window: Window | None = None

    def request_id(self, image: int) -> str:
        """Return the request id with which the session of an image is opened, and found again.

        Args:
            image: Number of images before.
        """
        return hashlib.sha256(f"nninteractive/{self.token}/{image}".encode()).hexdigest()


class Leases:
    """The leases that this process knows.

    Args:
        clocks: When leases end.
        limit: Number of leases.
        owner_limit: Number of leases of one owner; 0 for no limit of its own.
        now: Clock, in seconds.
    """

    def __init__(
        self, clocks: Clocks, *, limit: int, owner_limit: int = 0, now: Callable[[], float] = time.monotonic
    ) -> None:
        self.clocks = clocks
        self.limit = limit
        self._owner_limit = owner_limit or limit
        self._now = now
        self._leases: dict[str, Lease] = {}
        self._ended: OrderedDict[str, None] = OrderedDict()

    def claim(self, principal: Principal, *, model: str) -> Lease:
        """Give away a new lease.

        Raises:
            HttpRefusal: There are too many (503).
        """
        random = secrets.token_hex(_RANDOM_BYTES)
        return self._add(random + _check(random, principal, model), principal, model=model, claimed=True)

    def find(self, token: str, principal: Principal, *, model: str) -> Lease:
        """Return the lease of a token.

        Raises:
            HttpRefusal: It has ended, or there is none (410); or it is another process's, and there are too many here
                (503).
        """
        lease = self._leases.get(token)
        if lease is not None and self._over(lease):
            self.end(lease)
        if token in self._ended or not _is_token(token, principal, model):
            raise lease_lost()
        return self._leases.get(token) or self._add(token, principal, model=model, claimed=False)

    def remaining(self, lease: Lease) -> float:
        """Return the seconds until a lease ends for lack of work."""
        return max(0.0, lease.active + self.clocks.idle - self._now())

    def touch(self, lease: Lease, *, work: bool) -> None:
        """Note that something came from a client.

        Args:
            lease: Its lease.
            work: Whether it was work, not a heartbeat.
        """
        lease.seen = self._now()
        if work:
            lease.active = lease.seen

    @contextlib.contextmanager
    def use(self, lease: Lease) -> Iterator[None]:
        """Keep a lease from ending while a call on it runs."""
        self.touch(lease, work=True)
        lease.busy += 1
        try:
            yield
        finally:
            lease.busy -= 1
            self.touch(lease, work=True)

    def end(self, lease: Lease) -> None:
        """End a lease."""
        self._leases.pop(lease.token, None)
        self._ended[lease.token] = None
        while len(self._ended) > _MAX_ENDED:
            self._ended.popitem(last=False)

    def _add(self, token: str, principal: Principal, *, model: str, claimed: bool) -> Lease:
        for lease in [lease for lease in self._leases.values() if self._over(lease)]:
            self.end(lease)
        owned = sum(lease.principal.account == principal.account for lease in self._leases.values())
        if len(self._leases) >= self.limit or owned >= self._owner_limit:
            whose = "you have" if owned >= self._owner_limit else "there are"
            raise HttpRefusal(
                _FULL,
                ResourceExhausted(
                    f"{whose} as many leases as this gateway gives away (SIXPOINT_MAX_STREAMS, "
                    "SIXPOINT_OWNER_STREAMS); disconnect a viewer, and try again",
                    retry_after=_RETRY_S,
                ),
            )
        now = self._now()
        lease = self._leases[token] = Lease(token, model, principal, claimed, seen=now, active=now)
        return lease

    def _over(self, lease: Lease) -> bool:
        now, clocks = self._now(), self.clocks
        return not lease.busy and (now - lease.seen > clocks.liveness or now - lease.active > clocks.idle)


def lease_lost(cause: SixpointError | None = None) -> HttpRefusal:
    """Return the error upon which viewers connect anew, and send image and mask again."""
    message = cause.message if cause else "this lease has ended, or is none of this gateway's"
    return HttpRefusal(_GONE, SessionExpired(f"{message}; connect again (Initialize in the viewer)"))


def _is_token(token: str, principal: Principal, model: str) -> bool:
    if not _TOKEN.fullmatch(token):
        return False
    random = token[: 2 * _RANDOM_BYTES]
    return secrets.compare_digest(token, random + _check(random, principal, model))


def _check(random: str, principal: Principal, model: str) -> str:
    """The part of a token that says whose it is: no secret, since a token gives nobody more than its own objects."""
    text = f"{random}/{principal.account}/{model}"
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[: 32 - 2 * _RANDOM_BYTES]
