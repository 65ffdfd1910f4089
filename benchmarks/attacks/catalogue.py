"""All attacks by name."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from benchmarks.attacks import http_attacks, session_attacks, stream_attacks
from benchmarks.attacks.callers import HostileCaller

__all__ = ["ATTACKS", "Attack"]

_Work = Callable[[HostileCaller], Awaitable[None]]


@dataclass(frozen=True, kw_only=True)
class Attack:
    """One kind of attack.

    Attributes:
        name: Name in the table and on the command line.
        work: One call of a caller, repeated until the attack ends.
        prepare: What a caller does before the attack starts.
        large: Whether it needs the large image.
        in_flight: Number of calls of a single caller that run at once.
        in_all: Number of calls of all callers that run at once, for more callers than one.
    """

    name: str
    work: _Work
    prepare: _Work
    large: bool = False
    in_flight: int = 4
    in_all: int = 100

    def calls(self, callers: int) -> int:
        """Return the number of calls that each caller makes at once."""
        return self.in_flight if callers == 1 else max(1, min(self.in_flight, self.in_all // callers))


async def _nothing(caller: HostileCaller) -> None:
    del caller


_ALL = (
    Attack(name="mask bomb", work=session_attacks.mask_bomb, prepare=session_attacks.open_large, large=True),
    Attack(name="GetMask", work=session_attacks.get_mask, prepare=session_attacks.open_with_whole_mask, large=True),
    Attack(name="UpdateSession", work=session_attacks.rename_many, prepare=session_attacks.open_small),
    Attack(name="segments' names", work=session_attacks.name_all, prepare=session_attacks.open_small),
    Attack(
        name="greedy prompts",
        work=session_attacks.annotate,
        prepare=session_attacks.open_small,
        in_flight=300,
        in_all=1000,
    ),
    Attack(name="stream flood", work=stream_attacks.flood_stream, prepare=session_attacks.open_small),
    Attack(name="forks", work=session_attacks.fork, prepare=session_attacks.open_with_long_steps, large=True),
    Attack(name="ListSteps", work=session_attacks.list_steps, prepare=session_attacks.open_with_long_steps, large=True),
    Attack(name="upload flood", work=stream_attacks.flood_upload, prepare=_nothing, in_flight=200, in_all=200),
    Attack(
        name="download flood",
        work=stream_attacks.flood_downloads,
        prepare=_nothing,
        large=True,
        in_flight=100,
        in_all=200,
    ),
    Attack(name="HTTP upload flood", work=http_attacks.flood_http_uploads, prepare=_nothing, in_flight=200, in_all=200),
    Attack(
        name="HTTP download flood",
        work=http_attacks.flood_http_downloads,
        prepare=_nothing,
        large=True,
        in_flight=100,
        in_all=200,
    ),
    Attack(name="request flood", work=stream_attacks.flood_requests, prepare=_nothing, in_flight=200, in_all=200),
    Attack(name="idle uploads", work=stream_attacks.idle_upload, prepare=_nothing, in_flight=40, in_all=200),
    Attack(name="idle connections", work=stream_attacks.idle_connection, prepare=_nothing, in_flight=400, in_all=2000),
    Attack(name="idle streams", work=stream_attacks.idle_stream, prepare=_nothing, in_flight=200, in_all=1000),
    Attack(name="health watchers", work=stream_attacks.idle_watch, prepare=_nothing, in_flight=200, in_all=1000),
    Attack(name="long names", work=session_attacks.rename, prepare=session_attacks.open_small, in_flight=8),
    Attack(name="malformed bytes", work=session_attacks.malformed, prepare=session_attacks.open_small, in_flight=8),
)

ATTACKS = {attack.name: attack for attack in _ALL}
"""Attacks by name."""
