"""What the operating system says about files, as errors of sixpoint."""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Iterator

from sixpoint.errors import StorageFull, StorageUnavailable

__all__ = ["disk_errors"]

_RETRY_S = 1.0
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


@contextlib.contextmanager
def disk_errors() -> Iterator[None]:
    """Turn an OSError into an error of sixpoint, without the name of the file.

    Raises:
        StorageFull: The disk or its quota is full.
        StorageUnavailable: Any other OSError.
    """
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise StorageFull(
                "the gateway's disk is full; nothing of this call was kept. Free space on it, then try again",
                retry_after=_RETRY_S,
            ) from error
        raise StorageUnavailable(
            f"the gateway's disk cannot be used: {error.strerror}; try again", retry_after=_RETRY_S
        ) from error
