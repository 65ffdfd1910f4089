"""Limits of what one principal may do in a time."""

from __future__ import annotations

import time
from collections.abc import Callable

from gateway.authentication.buckets import Buckets
from gateway.core.access import Activity, Principal
from sixpoint.errors import ResourceExhausted

__all__ = ["PrincipalLimits"]

_BURST_SECONDS = 10.0
_MINUTE = 60.0
_Bucket = tuple[str, str]


class PrincipalLimits:
    """Limits of calls, uploaded bytes and segmentations of each principal, in this process.

    Args:
        calls_per_second: Calls; ten seconds' worth may come at once. 0 for no limit.
        upload_bytes_per_second: Bytes of uploads; ten seconds' worth may come at once. An upload that runs is never cut
            off: one that takes more lets the next one wait. 0 for no limit.
        segmentations_per_minute: Segmentations; a minute's worth may come at once. 0 for no limit.
        clock: Function that returns the time in seconds.
    """

    def __init__(
        self,
        *,
        calls_per_second: float = 0.0,
        upload_bytes_per_second: float = 0.0,
        segmentations_per_minute: float = 0.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        def buckets(rate: float, seconds: float) -> Buckets[_Bucket] | None:
            # Even one call in ten seconds is one whole call.
            return Buckets(rate, max(1.0, rate * seconds), clock=clock) if rate else None

        self._calls = buckets(calls_per_second, _BURST_SECONDS)
        self._bytes = buckets(upload_bytes_per_second, _BURST_SECONDS)
        self._segmentations = buckets(segmentations_per_minute / _MINUTE, _MINUTE)

    def check(self, principal: Principal, activity: Activity) -> None:
        """Count something that begins.

        Args:
            principal: Who begins it.
            activity: What it is.

        Raises:
            ResourceExhausted: The principal has done too much; ``retry_after`` says when to go on.
        """
        key = _key(principal)
        match activity:
            case Activity.CALL:
                if self._calls is not None and (wait := self._calls.take(key)):
                    raise _exceeded("calls", "SIXPOINT_OWNER_CALLS_PER_SECOND", wait)
            case Activity.UPLOAD:
                if self._bytes is not None and (wait := self._bytes.wait(key)):
                    raise _exceeded("uploaded bytes", "SIXPOINT_OWNER_UPLOAD_BYTES_PER_SECOND", wait)
            case Activity.SEGMENTATION:
                if self._segmentations is not None and (wait := self._segmentations.take(key)):
                    raise _exceeded("segmentations", "SIXPOINT_OWNER_SEGMENTATIONS_PER_MINUTE", wait)

    def count_uploaded(self, principal: Principal, nbytes: int) -> None:
        """Count bytes that an upload has received."""
        if self._bytes is not None:
            self._bytes.overdraw(_key(principal), nbytes)


def _key(principal: Principal) -> _Bucket:
    # Not the account: a subject may be named like another tenant's.
    return principal.tenant, principal.subject


def _exceeded(what: str, setting: str, wait: float) -> ResourceExhausted:
    return ResourceExhausted(
        f"too many {what} of yours in a short time; try again in {wait:.1f} s ({setting})", retry_after=wait
    )
