"""Limits of the processes that read DICOM series: a damaged or hostile file can fill or crash one of them only."""

from __future__ import annotations

import resource

__all__ = ["limit_series_process"]

_GIB = 2**30
# To read a series of the largest size takes a minute or two.
_CPU_SECONDS = 900


def limit_series_process(max_bytes: int) -> None:
    """Limit memory, files and processor time of this process, for as long as it lives.

    Args:
        max_bytes: Largest image, in bytes of voxels.
    """
    # As it arrives, converted, and as a type that is stored; more is no image that would be accepted.
    resource.setrlimit(resource.RLIMIT_AS, (2 * _GIB + 3 * max_bytes,) * 2)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2 * max_bytes + 2**20,) * 2)
    resource.setrlimit(resource.RLIMIT_CPU, (_CPU_SECONDS,) * 2)
