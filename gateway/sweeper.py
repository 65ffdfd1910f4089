"""Close idle sessions and remove unused images, again and again; count what is stored."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping

from gateway.core.images import ImageStore
from gateway.core.sessions import SessionExpiry
from sixpoint.errors import SixpointError

__all__ = ["Sweeper"]

_log = logging.getLogger(__name__)


class Sweeper:
    """Keeps the stores tidy.

    Args:
        sessions: Ends the sessions that nobody uses.
        images: All images.
        audit: Removes old entries of the audit log.
        interval: Seconds between two sweeps.
    """

    def __init__(
        self,
        *,
        sessions: SessionExpiry,
        images: ImageStore,
        audit: Callable[[], Awaitable[None]],
        interval: float,
    ) -> None:
        self._sessions = sessions
        self._images = images
        self._audit = audit
        self._interval = interval
        self._stored: Mapping[str, float] = {}

    @property
    def stored(self) -> Mapping[str, float]:
        """What was stored at the last sweep, by name; empty before the first."""
        return self._stored

    async def run(self) -> None:
        """Sweep until cancelled."""
        while True:
            try:
                closed = await self._sessions.run(every=self._interval)
                removed = await self._images.expire()
                await self._audit()
                if closed or removed:
                    _log.info("swept", extra={"sessions": closed, "images": removed})
                self._stored = {
                    "open_sessions": await self._sessions.count_open(),
                    "image_bytes": await self._images.byte_total(),
                }
            except SixpointError as error:
                _log.warning("sweep failed", extra={"reason": error.reason})
            except Exception as error:
                # The sweep must go on: otherwise the disk fills up unnoticed.
                _log.error("sweep failed", exc_info=error)
            await asyncio.sleep(self._interval)
