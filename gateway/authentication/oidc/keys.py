"""The keys of an issuer of tokens: fetched, cached, and fetched again when they change."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import jwt

from sixpoint.errors import Unavailable

__all__ = ["IssuerKeys", "VerificationKey"]

_log = logging.getLogger(__name__)

_REFRESH_SECONDS = 600.0
_COOLDOWN_SECONDS = 30.0
_GRACE_SECONDS = 24 * 3600.0
_PATIENCE_SECONDS = 12.0
_MAX_KEYS = 100
_MIN_RSA_BITS = 2048
_ALGORITHMS = {("RSA", ""): ("RS256", "PS256"), ("EC", "P-256"): ("ES256",), ("OKP", "Ed25519"): ("EdDSA",)}


@dataclass(frozen=True)
class VerificationKey:
    """A public key, and the algorithms of signatures that it may verify."""

    key: Any
    algorithms: tuple[str, ...]


class IssuerKeys:
    """Keys by their ids.

    They are fetched when the first token comes, every ten minutes after that, and for a token with an id that is not
    among them: but never more than once in 30 s, whatever ids callers invent. While the issuer is away, its keys stay
    valid for 24 hours.

    Args:
        fetch: Function that fetches the keys (JWKS); it may block.
        clock: Function that returns the time in seconds.
    """

    def __init__(
        self, fetch: Callable[[], Sequence[Mapping[str, Any]]], *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._fetch = fetch
        self._clock = clock
        self._keys: Mapping[str, VerificationKey] = {}
        self._published: Sequence[Mapping[str, Any]] = ()
        self._fetched: float | None = None
        self._tried: float | None = None
        self._running: asyncio.Task[None] | None = None
        # Of its own: an issuer that hangs must not take the threads of others.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="issuer")
        self.generation = 0
        """Number that changes when the keys do."""

    async def find(self, key_id: str) -> VerificationKey | None:
        """Return the key with an id; None if the issuer has none.

        Raises:
            Unavailable: The issuer is away, and there are no keys of the last 24 hours.
        """
        age = self._age()
        if age > _GRACE_SECONDS or (key_id not in self._keys and self._may_try()):
            await self._refresh()
        elif age > _REFRESH_SECONDS and self._may_try():
            self._start()
        if self._age() > _GRACE_SECONDS:
            raise Unavailable(
                "the issuer of tokens cannot be reached, so that logins cannot be checked; try again soon",
                retry_after=_COOLDOWN_SECONDS,
            )
        return self._keys.get(key_id)

    def _age(self) -> float:
        return float("inf") if self._fetched is None else self._clock() - self._fetched

    def _may_try(self) -> bool:
        """Whether to ask the issuer: it is being asked already, or was not asked lately."""
        return self._running is not None or self._tried is None or self._clock() - self._tried >= _COOLDOWN_SECONDS

    def _start(self) -> asyncio.Task[None]:
        if self._running is None:
            self._tried = self._clock()
            self._running = asyncio.create_task(self._run())
        return self._running

    async def _refresh(self) -> None:
        if not self._may_try():
            return
        # The call that waits may be cancelled; others wait for the same answer.
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(asyncio.shield(self._start()), _PATIENCE_SECONDS)

    async def _run(self) -> None:
        try:
            published = await asyncio.get_running_loop().run_in_executor(self._thread, self._fetch)
            keys = _usable(published)
        except Unavailable as error:
            _log.warning("keys of the issuer of tokens not fetched: %s", error.message)
        else:
            if published != self._published:
                self._keys, self._published = keys, published
                self.generation += 1
                _log.info("keys of the issuer of tokens fetched", extra={"keys": len(keys)})
            self._fetched = self._clock()
        finally:
            self._running = None


def _usable(published: Sequence[Mapping[str, Any]]) -> dict[str, VerificationKey]:
    """Return the keys that may verify signatures, by their ids; the others are left out."""
    keys = {}
    for document in published[:_MAX_KEYS]:
        key_id, use, stated = document.get("kid"), document.get("use", "sig"), document.get("alg")
        possible = _ALGORITHMS.get((str(document.get("kty")), str(document.get("crv", ""))), ())
        algorithms = tuple(name for name in possible if stated in (None, name))
        if not isinstance(key_id, str) or use != "sig" or not algorithms:
            continue
        try:
            key = jwt.PyJWK(dict(document), algorithm=algorithms[0]).key
        except (jwt.PyJWTError, ValueError, TypeError):
            continue
        if algorithms[0] == "RS256" and key.key_size < _MIN_RSA_BITS:
            continue
        keys[key_id] = VerificationKey(key, algorithms)
    return keys
