"""What pydicom and highdicom say about damaged files, in our own words and without the data of a patient."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from sixpoint.errors import SixpointError, VolumeError

__all__ = ["reading"]

_PACKAGES = ("pydicom", "highdicom")


@contextmanager
def reading(complaint: str) -> Iterator[None]:
    """Turn any error in the block into one that says ``complaint``, and silence warnings, which quote the header.

    Nothing documents what damaged files raise: KeyError, struct.error, NotImplementedError and AttributeError are seen.

    Args:
        complaint: Message of the error, which begins with the path that the user typed.

    Raises:
        VolumeError: When the block raises an exception; those of sixpoint pass through.
    """
    # Each by itself: what a module's own logger lets pass does not ask that of its package.
    names = [name for name in logging.root.manager.loggerDict if name.partition(".")[0] in _PACKAGES]
    loggers = [logging.getLogger(name) for name in names]
    before = [logger.disabled for logger in loggers]
    try:
        for logger in loggers:
            logger.disabled = True
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except (SixpointError, MemoryError):
        raise
    except Exception as error:
        raise VolumeError(complaint) from error
    finally:
        for logger, disabled in zip(loggers, before, strict=True):
            logger.disabled = disabled
