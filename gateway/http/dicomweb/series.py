"""Series of the DICOMweb server as images: fetched once, and found again by the digest of what they were."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import re
import secrets
import ssl
import sys
import time
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from weakref import WeakValueDictionary

from gateway.core.access import Activity, Principal
from gateway.core.images import ImageStore
from gateway.core.runtime.fairness import Turns
from gateway.http.calls import Call
from gateway.http.decoding.processes import parse_answer, reader_environment
from gateway.http.dicomweb.origins import SeriesOrigins
from gateway.http.dicomweb.pacs import Pacs
from gateway.http.image_files import ImageFiles, parse_header
from gateway.http.requests.spool import SpoolFolder
from sixpoint.errors import ImageNotFound

__all__ = ["SeriesImages"]

_UID = re.compile(r"[0-9]+(?:\.[0-9]+)+")
_MAX_UID = 64
_MAX_FETCHED = 10_000
# So long nobody asks the server whether the series has grown.
_FRESH_S = 30.0
_MAX_LINE = 2**16
# Folder for the files of a series, within that of the call.
_FILES = "series"


@dataclass
class _FetchedSeries:
    """A series that was fetched.

    Attributes:
        digest: Digest of its image.
        instances: Number of its files, as the server said it.
        checked: When it was last compared with the server.
    """

    digest: str
    instances: int | None
    checked: float


class SeriesImages:
    """Finds the image of a series by its UID.

    Args:
        pacs: The server.
        images: All images.
        files: Stores voxels.
        turns: Turns of the processes that fetch series.
        max_bytes: Largest image, in bytes of voxels.
    """

    def __init__(self, pacs: Pacs, *, images: ImageStore, files: ImageFiles, turns: Turns, max_bytes: int) -> None:
        self._pacs = pacs
        self._images = images
        self._files = files
        self._turns = turns
        self._max_bytes = max_bytes
        # UIDs lead to patients: no table here can be searched for one, and none is written anywhere.
        self._key = secrets.token_bytes(32)
        self._fetched: OrderedDict[str, _FetchedSeries] = OrderedDict()
        self._origins = SeriesOrigins(pacs, limit=_MAX_FETCHED)
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    @property
    def origins(self) -> SeriesOrigins:
        """The series of which images were made."""
        return self._origins

    @staticmethod
    def names_series(text: str) -> bool:
        """Whether what a client calls an image may be the UID of a series."""
        return len(text) <= _MAX_UID and _UID.fullmatch(text) is not None

    async def find(self, call: Call, uid: str, folder: SpoolFolder) -> str:
        """Return the digest of a series' image, which is fetched where that is needed.

        Args:
            call: The call.
            uid: UID of the series.
            folder: Folder of the call's files.

        Raises:
            ImageNotFound: There is no such series.
            PermissionDenied: The caller's tenant may not use the server.
            VolumeError: The series is no usable image.
            ResourceExhausted: It is too large, or too many are being fetched.
            Unavailable: The server cannot be reached.
        """
        self._pacs.check(call.principal)
        key = hashlib.blake2b(f"{call.principal.tenant}\0{uid}".encode(), key=self._key, digest_size=16).hexdigest()
        # Many clicks come while the first is being answered: the series is fetched once.
        lock = self._locks.setdefault(key, asyncio.Lock())
        async with lock:
            fetched = self._fetched.get(key)
            if (
                fetched
                and time.monotonic() - fetched.checked < _FRESH_S
                and await self._is_there(fetched, call.principal)
            ):
                return fetched.digest
            found = await self._pacs.find_series(uid)
            if fetched and fetched.instances == found.instances and await self._is_there(fetched, call.principal):
                fetched.checked = time.monotonic()
                return fetched.digest
            digest = await self._fetch(call, found.study, uid, folder)
            self._origins.remember(call.principal, digest, uid)
            self._fetched[key] = _FetchedSeries(digest, found.instances, time.monotonic())
            self._fetched.move_to_end(key)
            if len(self._fetched) > _MAX_FETCHED:
                self._fetched.popitem(last=False)
            return digest

    async def download(self, call: Call, uid: str, folder: SpoolFolder) -> Path:
        """Return the folder with the files of a series, for as long as the call runs: no headers are kept.

        Args:
            call: The call, which may have fetched the series before.
            uid: UID of the series.
            folder: Folder of the call's files.

        Raises:
            SixpointError: As :meth:`find` does.
        """
        source = folder.path / _FILES
        if not source.exists():
            self._pacs.check(call.principal)
            found = await self._pacs.find_series(uid)
            await self._run(call, found.study, uid, folder, voxels=None)
        return source

    async def _is_there(self, fetched: _FetchedSeries, principal: Principal) -> bool:
        with contextlib.suppress(ImageNotFound):
            await self._images.describe(fetched.digest, principal=principal)
            return True
        return False

    async def _fetch(self, call: Call, study: str, uid: str, folder: SpoolFolder) -> str:
        voxels = folder.path / "voxels"
        header = parse_header(await self._run(call, study, uid, folder, voxels=voxels))
        record = await self._files.store_voxels(header, voxels, folder, principal=call.principal)
        return record.digest

    async def _run(self, call: Call, study: str, uid: str, folder: SpoolFolder, *, voxels: Path | None) -> bytes:
        """Fetch the files of a series, and read it if its voxels shall be written; returns what the program said."""
        call.limits.check(call.principal, Activity.UPLOAD)
        source = folder.path / _FILES
        source.mkdir()
        access = self._pacs.access
        order = {
            "url": access.url,
            "authorization": access.authorization,
            # The library that asks there would trust authorities of its own.
            "ca_file": access.ca_file or ssl.get_default_verify_paths().cafile or "",
            "study": study,
            "series": uid,
            "folder": str(source),
            "voxels": str(voxels or ""),
        }
        async with self._turns.take():
            return await self._fetch_files(order, folder)

    async def _fetch_files(self, order: dict[str, str], folder: SpoolFolder) -> bytes:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "gateway.http.dicomweb.fetch_series",
            str(self._max_bytes),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            env=reader_environment(folder.path),
            limit=_MAX_LINE,
        )
        assert process.stdin is not None
        assert process.stdout is not None
        line, received = b"", 0
        try:
            # Not as an argument: others on this machine could read the credentials there.
            with contextlib.suppress(ConnectionError):
                process.stdin.write(json.dumps(order).encode() + b"\n")
                await process.stdin.drain()
                process.stdin.close()
            while line := await process.stdout.readline():
                size = _received(line)
                if size is None:
                    break
                folder.reserve(size - received)
                received = size
            await process.wait()
        finally:
            if process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    process.kill()
                await asyncio.shield(process.wait())
        parse_answer(line)
        return line


def _received(line: bytes) -> int | None:
    """The bytes that a line reports; None for the last line."""
    content: Any = None
    with contextlib.suppress(ValueError):
        content = json.loads(line)
    size = content.get("received") if isinstance(content, dict) else None
    return size if isinstance(size, int) else None
