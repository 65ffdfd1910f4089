"""What the files of a transfer say when they cannot be read or written, without their paths."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from gateway.core.access import Principal
from gateway.core.jobs.tenant_folders import tenant_path
from gateway.core.runtime.process.disk_errors import disk_errors
from sixpoint.errors import FailedPrecondition, SixpointError, StorageUnavailable, VolumeError

__all__ = ["hide", "hiding", "require_folder", "tenant_folder", "writing"]

_Result = TypeVar("_Result")


def require_folder(folder: Path | None, *, kind: str, setting: str) -> Path:
    """The folder of a kind.

    Raises:
        FailedPrecondition: There is none.
    """
    if folder is None:
        raise FailedPrecondition(
            f"jobs of kind {kind} are off: the gateway and its workers have no folder for them; set {setting}, and "
            f"name {kind} in SIXPOINT_WORKER_KINDS, or use sixpoint dataset {kind}"
        )
    return folder


def tenant_folder(folder: Path, principal: Principal, name: str, *, setting: str) -> Path:
    """The path of a name in the folder of the principal's tenant.

    Raises:
        FailedPrecondition: This worker does not have the folder, or a link leads elsewhere.
        StorageUnavailable: The folder cannot be looked at.
    """
    with disk_errors():
        if not folder.is_dir():
            raise FailedPrecondition(
                f"the folder that {setting} names is not there on this worker; mount or make it, and resume the job"
            )
        return tenant_path(folder, principal, name)


@contextmanager
def hiding(folder: Path, *, name: str) -> Iterator[None]:
    """Leave the place of a folder out of errors: it concerns nobody but the operator.

    Args:
        folder: Folder of the transfer.
        name: What errors call it.
    """
    try:
        yield
    except SixpointError as error:
        if (message := hide(error.message, folder, name=name)) == error.message:
            raise
        raise type(error)(message, violations=error.violations, retry_after=error.retry_after) from None


def hide(message: str, folder: Path, *, name: str) -> str:
    """A message with the name of a folder in place of its path."""
    return message.replace(f"{folder}/", "").replace(str(folder), name)


def writing(work: Callable[[], _Result]) -> _Result:
    """Do what writes images.

    Raises:
        StorageFull: The disk is full.
        StorageUnavailable: A file cannot be written.
    """
    with disk_errors():
        try:
            return work()
        except VolumeError as error:
            if isinstance(error.__cause__, OSError):
                raise error.__cause__ from None
            if isinstance(error.__cause__, RuntimeError):
                raise StorageUnavailable("the gateway's disk cannot be used: an image could not be written") from error
            raise
