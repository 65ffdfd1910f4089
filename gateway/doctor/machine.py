"""Checks of this machine: disks, shared memory, open files."""

from __future__ import annotations

import os
import resource
from collections.abc import Iterator
from pathlib import Path

from gateway.core.runtime.process.open_files import allowed_connections, raise_open_files
from gateway.settings import Settings
from gateway.storage.blobs import blob_folder
from gateway.storage.inspection import database_file
from sixpoint.cli.doctor.connection import Finding

__all__ = ["check_machine"]

_SHARED_MEMORY = Path("/dev/shm")
# What Docker gives a container; a prompt of the shipped model takes a few MiB, and Triton's models as much again.
_LITTLE_SHARED_MEMORY = 64 * 2**20
_SMALL_DATABASE = 2**30


def check_machine(settings: Settings) -> Iterator[Finding]:
    """Compare what this machine has with what the settings allow."""
    yield from _check_disks(settings)
    if settings.triton_shared_memory == "auto":
        yield _check_shared_memory()
    yield _check_open_files(settings)


def _check_disks(settings: Settings) -> Iterator[Finding]:
    wanted: dict[Path, int] = {settings.cache_folder: settings.cache_bytes + settings.unfinished_upload_bytes}
    if folder := blob_folder(settings.blobs_url.get_secret_value()):
        wanted[folder] = wanted.get(folder, 0) + settings.disk_bytes
    if file := database_file(settings.database_url.get_secret_value()):
        wanted[file.parent] = wanted.get(file.parent, 0) + settings.log_bytes
    disks: dict[int, tuple[list[Path], int, Path]] = {}
    for path, nbytes in wanted.items():
        # What does not exist yet is made there.
        present = next(each for each in (path, *path.absolute().parents) if each.exists())
        folders, total, _ = disks.get(present.stat().st_dev, ([], 0, present))
        disks[present.stat().st_dev] = ([*folders, path], total + nbytes, present)
    for folders, total, present in disks.values():
        yield _check_disk(folders, total, present)


def _check_disk(folders: list[Path], total: int, present: Path) -> Finding:
    status = os.statvfs(present)
    size, free = status.f_blocks * status.f_frsize, status.f_bavail * status.f_frsize
    what = f"disk of {', '.join(map(str, dict.fromkeys(folders)))}"
    seen = f"{_gib(free)} free of {_gib(size)}; the limits of what is kept there add up to {_gib(total)}"
    if free < _SMALL_DATABASE:
        return Finding(what, False, seen, "Free space on it: uploads and prompts fail once it is full.")
    if size < total:
        advice = (
            "Lower SIXPOINT_DISK_BYTES, SIXPOINT_CACHE_BYTES or SIXPOINT_LOG_BYTES: the disk is full before a limit is."
        )
        return Finding(what, True, seen, advice)
    return Finding(what, True, seen)


def _check_shared_memory() -> Finding:
    what = "shared memory"
    try:
        status = os.statvfs(_SHARED_MEMORY)
    except OSError as error:
        seen = f"{_SHARED_MEMORY} cannot be used ({error.strerror})"
        return Finding(what, True, seen, "Tensors are sent to Triton as bytes, which takes a little longer.")
    size, free = status.f_blocks * status.f_frsize, status.f_bavail * status.f_frsize
    seen = f"{_SHARED_MEMORY} has {free >> 20} MiB free of {size >> 20} MiB"
    advice = "A container gets more with --shm-size=1g, a pod with an emptyDir of medium Memory."
    if not os.access(_SHARED_MEMORY, os.W_OK):
        return Finding(what, True, f"{_SHARED_MEMORY} may not be written", "Tensors are sent to Triton as bytes.")
    return Finding(
        what, free >= _LITTLE_SHARED_MEMORY, seen, advice if size <= _LITTLE_SHARED_MEMORY or free < size / 10 else ""
    )


def _check_open_files(settings: Settings) -> Finding:
    raise_open_files()
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    allowed = allowed_connections(settings.max_connections)
    number = "any number of" if limit == resource.RLIM_INFINITY else str(limit)
    seen = f"{number} files may be open, enough for {allowed} connections"
    if allowed < settings.max_connections:
        advice = "Raise the hard limit (ulimit -Hn, LimitNOFILE=, --ulimit nofile=)."
        return Finding("open files", False, f"{seen}; SIXPOINT_MAX_CONNECTIONS is {settings.max_connections}", advice)
    return Finding("open files", True, seen)


def _gib(nbytes: int) -> str:
    return f"{nbytes / 2**30:.1f} GiB"
