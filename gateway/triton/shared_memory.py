"""Pass tensors to a Triton on the same machine through system shared memory instead of sending them.

Each call has a region of its own: the input, then the output. A region's file is unlinked as soon as Triton has mapped
it, so that a killed gateway leaves no file behind; regions that it left registered with Triton are removed by the next
gateway. If shared memory does not work, tensors are sent as bytes.
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
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc.aio
import numpy as np
from tritonclient.grpc import service_pb2

from sixpoint._typing import Array

__all__ = ["Region", "RegionPool"]

_Metadata = tuple[tuple[str, str], ...]

_log = logging.getLogger(__name__)

# Folder of POSIX shared memory on Linux.
_FOLDER = Path("/dev/shm")
# A region's name contains the process id and its namespace, so that orphans can be recognised.
_PREFIX = "sixpoint"
_CALL_SECONDS = 2.0
# Regions at a time, of some megabytes each; further calls send bytes.
_MAX_REGIONS = 16
# Time for which Triton may still write to the region of an abandoned call.
_QUARANTINE_SECONDS = 120.0


class Region:
    """Memory shared with Triton.

    Attributes:
        name: Name under which the region is registered with Triton.
        size: Size in bytes.
    """

    def __init__(self, name: str, size: int) -> None:
        """Create a region.

        Args:
            name: Name to register the region under.
            size: Size in bytes.

        Raises:
            OSError: When memory is short, or this machine has no shared memory.
        """
        self.name = name
        self.size = size
        self._path = _FOLDER / name
        descriptor = os.open(self._path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600)
        try:
            # Fails if memory is short. After ftruncate alone, writing would end the process with SIGBUS instead.
            os.posix_fallocate(descriptor, 0, size)
            self._memory = mmap.mmap(descriptor, size)
        except BaseException:
            self.unlink()
            raise
        finally:
            os.close(descriptor)

    def unlink(self) -> None:
        """Remove the region's file; processes that have mapped it keep the memory."""
        self._path.unlink(missing_ok=True)

    def write(self, tensor: Array) -> None:
        """Copy a tensor to the start of the region."""
        np.frombuffer(self._memory, tensor.dtype, tensor.size).reshape(tensor.shape)[...] = tensor

    def read(self, dtype: np.dtype[Any], shape: tuple[int, ...], *, offset: int) -> Array:
        """Copy a tensor out of the region.

        Args:
            dtype: Type of the elements.
            shape: Shape of the tensor.
            offset: First byte of the tensor in the region.
        """
        return np.frombuffer(self._memory, dtype, int(np.prod(shape)), offset).reshape(shape).copy()


class RegionPool:
    """The regions of one connection to Triton; to be used from one event loop.

    Args:
        stub: Stub of Triton's GRPCInferenceService.
        enabled: Whether to use shared memory at all.
        metadata: Returns the metadata of calls of Triton's control API.
    """

    def __init__(self, stub: Any, *, enabled: bool, metadata: Callable[[], _Metadata] = tuple) -> None:
        self._stub = stub
        self._metadata = metadata
        self._enabled = enabled
        # None until it was tried with the running Triton.
        self._offered: bool | None = None if enabled else False
        self._idle: list[Region] = []
        self._busy: set[Region] = set()
        self._being_created = 0
        self._quarantined: deque[tuple[float, Region]] = deque()
        self._logged = False

    async def acquire(self, size: int) -> Region | None:
        """Return a region of at least ``size`` bytes for one call; None if there is none."""
        if self._offered is False:
            return None
        await self._release_expired()
        for region in reversed(self._idle):
            if region.size >= size:
                self._idle.remove(region)
                self._busy.add(region)
                return region
        if self._count >= _MAX_REGIONS and self._idle:
            # Every idle region is too small: replace the oldest.
            await self._discard(self._idle.pop(0))
        if self._count >= _MAX_REGIONS:
            return None
        self._being_created += 1
        try:
            created = await self._create(size)
        finally:
            self._being_created -= 1
        if created is not None:
            self._busy.add(created)
        return created

    def release(self, region: Region) -> None:
        """Take back the region of a call that succeeded."""
        # A region that is not busy was invalidated meanwhile: Triton no longer knows it.
        if region in self._busy:
            self._busy.remove(region)
            self._idle.append(region)

    def quarantine(self, region: Region) -> None:
        """Take back the region of an abandoned call, to which Triton may still write."""
        if region in self._busy:
            self._busy.remove(region)
            self._quarantine(region)

    def invalidate(self) -> None:
        """Stop using all current regions, because Triton is unreachable or does not know them, and start anew."""
        # Triton may only have been slow, and still know them.
        for region in (*self._idle, *self._busy):
            self._quarantine(region)
        self._idle.clear()
        self._busy.clear()
        self._offered = None if self._enabled else False

    async def close(self) -> None:
        """Unregister the idle regions."""
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
            self._note_unavailable("this machine has no shared memory, or too little")
            return None
        try:
            await self._stub.SystemSharedMemoryRegister(
                service_pb2.SystemSharedMemoryRegisterRequest(name=region.name, key=f"/{region.name}", byte_size=size),
                timeout=_CALL_SECONDS,
                metadata=self._metadata(),
            )
        except grpc.aio.AioRpcError as error:
            if error.code() == grpc.StatusCode.DEADLINE_EXCEEDED:
                # Triton may only have been slow, and know the region by now.
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

    def _note_unavailable(self, reason: str) -> None:
        # After a first region worked, a failure means that memory is short, not that shared memory does not work.
        if not self._offered:
            self._offered = False
        if not self._logged:
            self._logged = True
            _log.info("tensors are sent to triton as bytes, not in shared memory: %s", reason)

    async def _release_expired(self) -> None:
        """Unregister the regions whose quarantine is over."""
        while self._quarantined and self._quarantined[0][0] <= time.monotonic():
            _, region = self._quarantined.popleft()
            await self._discard(region)

    async def _discard(self, region: Region) -> None:
        """Unregister a region that no call uses; if that is cancelled or times out, try again later."""
        unregistered = False
        try:
            unregistered = await self._unregister(region.name)
        finally:
            if not unregistered:
                self._quarantine(region)

    async def _reclaim_orphans(self) -> None:
        """Remove the files and registrations of killed gateways."""
        for path in _FOLDER.glob(f"{_PREFIX}.*"):
            if _is_orphan(path.name):
                path.unlink(missing_ok=True)
        with contextlib.suppress(grpc.aio.AioRpcError):
            status = await self._stub.SystemSharedMemoryStatus(
                service_pb2.SystemSharedMemoryStatusRequest(), timeout=_CALL_SECONDS, metadata=self._metadata()
            )
            for name in status.regions:
                if _is_orphan(name):
                    await self._unregister(name)

    async def _unregister(self, name: str) -> bool:
        """Unregister a region; return False if Triton did not answer in time."""
        try:
            await self._stub.SystemSharedMemoryUnregister(
                service_pb2.SystemSharedMemoryUnregisterRequest(name=name),
                timeout=_CALL_SECONDS,
                metadata=self._metadata(),
            )
        except grpc.aio.AioRpcError as error:
            return error.code() != grpc.StatusCode.DEADLINE_EXCEEDED
        return True


def _namespace() -> int:
    """Return the process namespace, within which process ids are unique."""
    return Path("/proc/self/ns/pid").stat().st_ino


def _own_prefix() -> str:
    return f"{_PREFIX}.{_namespace()}.{os.getpid()}."


def _is_orphan(name: str) -> bool:
    """Whether a region belongs to a gateway of this process namespace that has ended."""
    parts = name.split(".")
    if len(parts) != 4 or parts[:2] != [_PREFIX, str(_namespace())] or not parts[2].isdecimal():
        return False
    return not Path(f"/proc/{parts[2]}").exists()
