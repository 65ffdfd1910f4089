"""Files of running calls: bodies that arrive, and answers that are sent. They end with their call."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

from gateway.core.runtime.fairness import current_owner
from gateway.core.runtime.process.disk_errors import disk_errors
from gateway.core.runtime.process.private_files import make_private_folder
from sixpoint.errors import ResourceExhausted

__all__ = ["Spool", "SpoolFolder"]

_RETRY_S = 2.0
# A call takes hours at most; what is older was left by a process that was killed.
_LEFT_OVER_S = 86_400.0


class Spool:
    """The folder of the files of running calls, whose size is limited: in all, and half of it for one owner.

    Args:
        folder: The folder; gateways on one machine may share it.
        limit: Bytes of the files of all calls of this process.
    """

    def __init__(self, folder: Path, *, limit: int) -> None:
        self._folder = folder
        self._limit = limit
        self._used: Counter[str] = Counter()

    async def start(self) -> None:
        """Create the folder, and remove what processes left that were killed.

        Raises:
            StorageUnavailable: The folder cannot be created.
        """
        with disk_errors():
            await asyncio.to_thread(self._prepare)

    def _prepare(self) -> None:
        make_private_folder(self._folder)
        oldest_allowed = time.time() - _LEFT_OVER_S
        for path in self._folder.iterdir():
            with contextlib.suppress(FileNotFoundError):
                if path.stat().st_mtime < oldest_allowed:
                    shutil.rmtree(path, ignore_errors=True)

    @contextlib.asynccontextmanager
    async def folder(self) -> AsyncIterator[SpoolFolder]:
        """Yield a folder for the files of a call, which is removed at the end.

        Raises:
            StorageFull: The disk is full.
            StorageUnavailable: The folder cannot be created.
        """
        owner = current_owner()
        with disk_errors():
            path = Path(await asyncio.to_thread(tempfile.mkdtemp, dir=self._folder))
        room = SpoolFolder(self, owner, path)
        try:
            yield room
        finally:
            self._used[owner] -= room.nbytes
            # In the call's own thread, shielded: nobody else would remove it.
            await asyncio.shield(asyncio.to_thread(shutil.rmtree, path, ignore_errors=True))

    def reserve(self, owner: str, nbytes: int) -> None:
        """Count bytes that will be written.

        Raises:
            ResourceExhausted: There is no room for them now.
        """
        if self._used.total() + nbytes > self._limit or self._used[owner] + nbytes > self._limit // 2:
            raise ResourceExhausted(
                "the files of running HTTP calls take all the room that there is for them "
                "(SIXPOINT_UNFINISHED_UPLOAD_BYTES); try again when others have ended",
                retry_after=_RETRY_S,
            )
        self._used[owner] += nbytes


class SpoolFolder:
    """The files of one call.

    Attributes:
        path: The folder.
        nbytes: Bytes that were reserved for its files.
    """

    def __init__(self, spool: Spool, owner: str, path: Path) -> None:
        self._spool = spool
        self._owner = owner
        self.path = path
        self.nbytes = 0

    def reserve(self, nbytes: int) -> None:
        """Count bytes that will be written.

        Raises:
            ResourceExhausted: There is no room for them now.
        """
        self._spool.reserve(self._owner, nbytes)
        self.nbytes += nbytes
