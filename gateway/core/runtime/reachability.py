"""Whether the stores that calls need can be reached."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping

from sixpoint.errors import SixpointError

__all__ = ["Reachability"]

# More than a database takes under load, and less than a person waits.
_PATIENCE_S = 10.0

_log = logging.getLogger(__name__)


class Reachability:
    """Asks stores again and again whether they can be reached.

    Args:
        checks: For each store, a function that raises if it cannot be reached; the key is its name in the log.
        interval: Seconds between two checks of a store.
        patience: Seconds after which a store that does not answer counts as away.
        changed: Function called when :attr:`reachable` may have changed.
    """

    def __init__(
        self,
        checks: Mapping[str, Callable[[], Awaitable[None]]],
        *,
        interval: float,
        patience: float = _PATIENCE_S,
        changed: Callable[[], None],
    ) -> None:
        self._checks = checks
        self._interval = interval
        self._patience = patience
        self._changed = changed
        self._away: set[str] = set()

    @property
    def reachable(self) -> bool:
        """Whether all stores could be reached when they were asked last."""
        return not self._away

    @property
    def states(self) -> dict[str, bool]:
        """For each store, whether it could be reached when it was asked last."""
        return {name: name not in self._away for name in self._checks}

    async def run(self) -> None:
        """Check until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            for name, check in self._checks.items():
                tasks.create_task(self._watch(name, check))

    async def _watch(self, name: str, check: Callable[[], Awaitable[None]]) -> None:
        while True:
            asked = asyncio.ensure_future(check())
            try:
                # A thread that waits for a store cannot be interrupted: the next question is asked once it is back.
                if not (await asyncio.wait({asked}, timeout=self._patience))[0]:
                    self._note(name, "no answer")
                self._note(name, await _failure(asked))
            finally:
                asked.cancel()
            await asyncio.sleep(self._interval)

    def _note(self, name: str, failure: str) -> None:
        if bool(failure) == (name in self._away):
            return
        if failure:
            self._away.add(name)
            _log.warning(
                "the %s cannot be reached; health is NOT_SERVING until it can", name, extra={"reason": failure}
            )
        else:
            self._away.discard(name)
            _log.info("the %s can be reached again", name)
        self._changed()


async def _failure(asked: asyncio.Future[None]) -> str:
    """Wait for a check; return why the store cannot be used, or an empty text if it can."""
    try:
        await asked
    except SixpointError as error:
        return error.reason
    except Exception as error:
        # Of an unknown kind, but it must not end the checks: health would never change again.
        _log.error("unexpected exception", exc_info=error)
        return type(error).__name__
    return ""
