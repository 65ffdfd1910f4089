"""What pydicom and highdicom say about damaged files, in our own words and without the data of a patient."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from sixpoint.errors import VolumeError

__all__ = ["reading"]

_LOGGERS = ("pydicom", "highdicom")


@contextmanager
def reading(complaint: str) -> Iterator[None]:
    """Turn any error in the block into one that says ``complaint``, and silence warnings, which quote the header.

    Nothing documents what damaged files raise: KeyError, struct.error, NotImplementedError and AttributeError are seen.

    Args:
        complaint: Message of the error, which begins with the path that the user typed.

    Raises:
        VolumeError: When the block raises an exception; one of this type passes through.
    """
    loggers = [logging.getLogger(name) for name in _LOGGERS]
    before = [logger.disabled for logger in loggers]
    try:
        for logger in loggers:
            logger.disabled = True
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except (VolumeError, MemoryError):
        raise
    except Exception as error:
        raise VolumeError(complaint) from error
    finally:
        for logger, disabled in zip(loggers, before, strict=True):
            logger.disabled = disabled
