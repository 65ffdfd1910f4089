"""System shared memory between the gateway and a Triton on the same machine: tensors pass without being sent.

Each call has a region for itself: its input, then its output. A region's file is unlinked as soon as Triton has mapped
it, so that a gateway that is killed leaves no file; what it leaves registered with Triton, the next one removes. Where
any of this fails, tensors travel as bytes.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import mmap
import os
import time
import uuid
from collections import deque
from pathlib import Path
from typing import Any

import grpc.aio
import numpy as np
from tritonclient.grpc import service_pb2

from sixpoint._typing import Array

__all__ = ["Region", "RegionPool"]

_log = logging.getLogger(__name__)

# Where Linux keeps POSIX shared memory.
_FOLDER = Path("/dev/shm")
# Names tell the process, and its process namespace, so that those of the dead can be told.
_PREFIX = "sixpoint"
_SECONDS = 2.0
# At most so many at a time, of some megabytes each; calls beyond them send bytes.
_MAX_REGIONS = 16
# How long Triton may still write for a call that was given up: until then its region is for nobody.
_QUARANTINE_SECONDS = 120.0


class Region:
    """Memory shared with Triton.

    Attributes:
        name: By which Triton knows it.
        size: Bytes.
    """

    def __init__(self, name: str, size: int) -> None:
        """Make a region.

        Raises:
            OSError: When there is no memory, or no shared memory at all.
        """
        self.name = name
        self.size = size
        self._path = _FOLDER / name
        descriptor = os.open(self._path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600)
        try:
            # Where memory is short this fails; writing to a file that was only made longer would end the process.
            os.posix_fallocate(descriptor, 0, size)
            self._memory = mmap.mmap(descriptor, size)
        except BaseException:
            self.unlink()
            raise
        finally:
            os.close(descriptor)

    def unlink(self) -> None:
        """Remove its name from the machine; who has mapped it keeps it."""
        self._path.unlink(missing_ok=True)

    def write(self, tensor: Array) -> None:
        """Copy a tensor to the region's begin."""
        np.frombuffer(self._memory, tensor.dtype, tensor.size).reshape(tensor.shape)[...] = tensor

    def read(self, dtype: np.dtype[Any], shape: tuple[int, ...], *, offset: int) -> Array:
        """Copy a tensor out of the region."""
        return np.frombuffer(self._memory, dtype, int(np.prod(shape)), offset).reshape(shape).copy()


class RegionPool:
    """The regions of one connection to Triton. Belongs to one event loop.

    Args:
        stub: Of Triton's GRPCInferenceService.
        enabled: Whether to use shared memory at all.
    """

    def __init__(self, stub: Any, *, enabled: bool) -> None:
        self._stub = stub
        self._enabled = enabled
        # None: not tried with this run of Triton.
        self._offered: bool | None = None if enabled else False
        self._idle: list[Region] = []
        self._busy: set[Region] = set()
        self._being_created = 0
        self._quarantined: deque[tuple[float, Region]] = deque()
        self._logged = False

    async def acquire(self, size: int) -> Region | None:
        """A region of at least ``size`` bytes that nobody else writes to; None when there is none to be had."""
        if self._offered is False:
            return None
        await self._release_expired()
        for region in reversed(self._idle):
            if region.size >= size:
                self._idle.remove(region)
                self._busy.add(region)
                return region
        if self._count >= _MAX_REGIONS and self._idle:
            # One that is too small makes room.
            await self._discard(self._idle.pop(0))
        if self._count >= _MAX_REGIONS:
            return None
        self._being_created += 1
        try:
            made = await self._create(size)
        finally:
            self._being_created -= 1
        if made is not None:
            self._busy.add(made)
        return made

    def release(self, region: Region) -> None:
        """Return a region whose call has ended well."""
        # One that is not busy was forgotten meanwhile: Triton does not know it any more.
        if region in self._busy:
            self._busy.remove(region)
            self._idle.append(region)

    def quarantine(self, region: Region) -> None:
        """Return a region whose call was given up: Triton may still write to it."""
        if region in self._busy:
            self._busy.remove(region)
            self._quarantine(region)

    def invalidate(self) -> None:
        """Use no present region any more, and try anew: Triton is away, or does not know them."""
        # It may have been slow only, and know them still.
        for region in (*self._idle, *self._busy):
            self._quarantine(region)
        self._idle.clear()
        self._busy.clear()
        self._offered = None if self._enabled else False

    async def close(self) -> None:
        """Unregister what no call uses."""
        for region in self._idle:
            await self._unregister(region.name)
        self._idle.clear()

    @property
    def _count(self) -> int:
        return len(self._busy) + len(self._quarantined) + len(self._idle) + self._being_created

    async def _create(self, size: int) -> Region | None:
        if self._offered is None:
            await self._reclaim_orphans()
        try:
            region = Region(f"{_own_prefix()}{uuid.uuid4().hex[:12]}", size)
        except OSError:
            self._note_unavailable("no shared memory here")
            return None
        try:
            await self._stub.SystemSharedMemoryRegister(
                service_pb2.SystemSharedMemoryRegisterRequest(name=region.name, key=f"/{region.name}", byte_size=size),
                timeout=_SECONDS,
            )
        except grpc.aio.AioRpcError as error:
            if error.code() == grpc.StatusCode.DEADLINE_EXCEEDED:
                # It may have been slow only, and know it by now.
                self._quarantine(region)
            if error.code() != grpc.StatusCode.UNAVAILABLE:
                self._note_unavailable(error.code().name)
            return None
        except asyncio.CancelledError:
            self._quarantine(region)
            raise
        finally:
            region.unlink()
        self._offered = True
        return region

    def _quarantine(self, region: Region) -> None:
        self._quarantined.append((time.monotonic() + _QUARANTINE_SECONDS, region))

    def _note_unavailable(self, why: str) -> None:
        # Once it was offered, a region that cannot be made is a want of memory, not of the service.
        if not self._offered:
            self._offered = False
        if not self._logged:
            self._logged = True
            _log.info("tensors travel to triton as bytes, not in shared memory: %s", why)

    async def _release_expired(self) -> None:
        """Unregister regions that have rested long enough."""
        while self._quarantined and self._quarantined[0][0] <= time.monotonic():
            _, region = self._quarantined.popleft()
            await self._discard(region)

    async def _discard(self, region: Region) -> None:
        """Unregister a region that no call uses; where that is broken off or takes too long, again later."""
        gone = False
        try:
            gone = await self._unregister(region.name)
        finally:
            if not gone:
                self._quarantine(region)

    async def _reclaim_orphans(self) -> None:
        """Remove what gateways left that were killed."""
        for path in _FOLDER.glob(f"{_PREFIX}.*"):
            if _is_orphan(path.name):
                path.unlink(missing_ok=True)
        with contextlib.suppress(grpc.aio.AioRpcError):
            status = await self._stub.SystemSharedMemoryStatus(
                service_pb2.SystemSharedMemoryStatusRequest(), timeout=_SECONDS
            )
            for name in status.regions:
                if _is_orphan(name):
                    await self._unregister(name)

    async def _unregister(self, name: str) -> bool:
        """Have Triton let go of a region; whether it did, or is away, or never knew it."""
        try:
            await self._stub.SystemSharedMemoryUnregister(
                service_pb2.SystemSharedMemoryUnregisterRequest(name=name), timeout=_SECONDS
            )
        except grpc.aio.AioRpcError as error:
            return error.code() != grpc.StatusCode.DEADLINE_EXCEEDED
        return True


def _namespace() -> int:
    """The process namespace, in which process ids mean something."""
    return Path("/proc/self/ns/pid").stat().st_ino


def _own_prefix() -> str:
    return f"{_PREFIX}.{_namespace()}.{os.getpid()}."


def _is_orphan(name: str) -> bool:
    """Whether a region of this name belongs to a gateway of this process namespace that is no more."""
    parts = name.split(".")
    if len(parts) != 4 or parts[:2] != [_PREFIX, str(_namespace())] or not parts[2].isdecimal():
        return False
    return not Path(f"/proc/{parts[2]}").exists()
