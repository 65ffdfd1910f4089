"""Places for calls: how many may run or wait, of all owners and of one."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

from gateway.core.runtime.fairness.owner import current_owner
from sixpoint.errors import ResourceExhausted

__all__ = ["Place", "Places", "leaves_room"]

_MIN_RETRY_S = 1.0
# The last eighth is for owners that hold nothing yet. Of the rest an owner may hold this many times what is left: seven
# eighths alone, seven fifteenths each of two.
_NEWCOMERS, _TIMES_LEFT = 8, 7


def leaves_room(count: int, *, total: int, limit: int) -> bool:
    """Whether an owner may take one more place of those that are not given back soon.

    Args:
        count: Number of places that the owner holds.
        total: Places that all owners hold.
        limit: Number of places.
    """
    left = limit - total
    return left > 0 and (count == 0 or count < _TIMES_LEFT * (left - limit // _NEWCOMERS))


@dataclass(eq=False)
class Place:
    """A place that a call holds.

    Attributes:
        scope: Ends the call that holds the place.
        started: Whether the call runs, so that it keeps its place.
        evicted: Whether the place was given to another owner's call.
    """

    scope: asyncio.Timeout
    started: bool = False
    evicted: bool = False

    def start(self) -> None:
        """Note that the call runs."""
        self.started = True


class Places:
    """Places for calls that run or wait.

    When all are taken, a call of an owner with few of them gets the place of a waiting call of the owner with the
    most, the last that came; so a new owner finds a place, however many callers want all of them.

    Args:
        limit: Number of places.
        owner_limit: Number of places that one owner may hold.
        activity: What those who hold a place do, as the start of an error message: "prompts are being answered".
        settings: Names of the settings that set the two limits; empty where they are fixed.
        evict: Whether a call that has not started may lose its place. Without, owners leave places to each other in
            advance: see :func:`leaves_room`.
        retry_after: Function that returns after how many seconds to try again.
    """

    def __init__(
        self,
        limit: int,
        *,
        owner_limit: int | None = None,
        activity: str,
        settings: tuple[str, str] = ("", ""),
        evict: bool = True,
        retry_after: Callable[[], float] = lambda: _MIN_RETRY_S,
    ) -> None:
        self._limit = limit
        self._owner_limit = limit if owner_limit is None else owner_limit
        self._activity = activity
        self._setting, self._owner_setting = (f" ({name})" if name else "" for name in settings)
        self._evict = evict
        self._retry_after = retry_after
        self._by_owner: dict[str, list[Place]] = {}
        self._taken = 0

    @property
    def taken(self) -> int:
        """Number of places that are taken."""
        return self._taken

    @property
    def full(self) -> bool:
        """Whether all places are taken."""
        return self._taken >= self._limit

    @contextlib.asynccontextmanager
    async def take(self) -> AsyncIterator[Place]:
        """Hold a place within the context.

        Raises:
            ResourceExhausted: When there is none for this owner, or the place goes to another one; the error says when
                to try again.
        """
        owner = current_owner()
        self._make_room(owner)
        try:
            async with asyncio.timeout(None) as scope:
                place = Place(scope)
                self._by_owner.setdefault(owner, []).append(place)
                self._taken += 1
                try:
                    yield place
                finally:
                    self._give_back(owner, place)
        except TimeoutError:
            if not place.evicted:
                raise
            raise self._refusal(
                f"{self._limit} {self._activity} or wait, which is the limit{self._setting}, and most of them are "
                "yours: this call gave its place to another owner's; try again"
            ) from None

    def _make_room(self, owner: str) -> None:
        count = len(self._by_owner.get(owner, ()))
        if self._owner_limit <= count < self._limit:
            raise self._refusal(
                f"{count} of your {self._activity} or wait, which is the limit for one owner{self._owner_setting}; "
                "try again when one of them has ended"
            )
        if self._taken >= self._limit and self._evict:
            victim = max(
                (name for name, places in self._by_owner.items() if any(not place.started for place in places)),
                key=lambda name: len(self._by_owner[name]),
                default=owner,
            )
            if len(self._by_owner.get(victim, ())) > count + 1:
                place = next(place for place in reversed(self._by_owner[victim]) if not place.started)
                place.evicted = True
                place.scope.reschedule(asyncio.get_running_loop().time())
                self._give_back(victim, place)
                return
        room = self._taken < self._limit if self._evict else leaves_room(count, total=self._taken, limit=self._limit)
        if not room:
            raise self._refusal(f"{self._taken} {self._activity} or wait, which is the limit{self._setting}; try again")

    def _give_back(self, owner: str, place: Place) -> None:
        places = self._by_owner.get(owner, [])
        if place in places:
            places.remove(place)
            self._taken -= 1
            if not places:
                del self._by_owner[owner]

    def _refusal(self, message: str) -> ResourceExhausted:
        return ResourceExhausted(message, retry_after=max(_MIN_RETRY_S, self._retry_after()))
