"""The audit log: who did what to which object, and with what outcome.

A change is noted in its own transaction. What changes nothing, such as the reading of a mask or a refused call, is
collected for a moment and written together.
"""

from __future__ import annotations

import asyncio
import enum
import itertools
import logging
from collections import Counter
from dataclasses import dataclass
from typing import Protocol

from gateway.core.access.principal import Principal
from sixpoint.errors import NotFound, PermissionDenied, SixpointError, Unauthenticated

__all__ = ["NO_AUDIT", "Action", "AuditEntry", "AuditNotes", "AuditWriter", "Auditor", "note_refusal"]

_log = logging.getLogger(__name__)

# Different entries that may wait. Equal ones are counted.
_MAX_WAITING = 10_000
_INTERVAL_S = 1.0
# Refusals of somebody who looks for what is not theirs.
_AUDITED = (Unauthenticated, PermissionDenied, NotFound)


class Action(enum.StrEnum):
    """What was done, or tried."""

    UPLOAD_IMAGE = "upload image"
    READ_IMAGE = "read image"
    REMOVE_IMAGE = "remove image"
    SEGMENT_IMAGE = "segment image"
    OPEN_SESSION = "open session"
    FORK_SESSION = "fork session"
    READ_SESSION = "read session"
    LIST_SESSIONS = "list sessions"
    CHANGE_SESSION = "change session"
    CLOSE_SESSION = "close session"
    ANNOTATE = "annotate"
    MOVE_HEAD = "undo, redo or reset"
    READ_MASK = "read mask"
    CHANGE_DATASET = "change dataset"
    READ_DATASET = "read dataset"
    REMOVE_DATASET_IMAGE = "remove image from dataset"
    SAVE_ANNOTATION = "save annotation"
    READ_ANNOTATION = "read annotation"
    REVIEW_ANNOTATION = "review annotation"
    CHANGE_LEARNING = "change rules of learning"
    CREATE_JOB = "create job"
    CHANGE_JOB = "cancel, pause or resume job"
    READ_JOB = "read job"
    CALL = "call"


@dataclass(frozen=True)
class AuditEntry:
    """Who did what. It holds no coordinates, and no names but those of callers.

    Attributes:
        principal: Who did it.
        action: What was done.
        object: Id of a session, dataset, annotation or job, digest of an image, or name of a call; empty without one.
        outcome: "OK", or the reason of the error.
        source: For a fork, the id of the session that it started from; for an annotation, that of the session that was
            saved; for an image removed from a dataset, that of the dataset; else empty.
    """

    principal: Principal
    action: Action
    object: str = ""
    outcome: str = "OK"
    source: str = ""


class Auditor(Protocol):
    """Takes notes of what changes nothing."""

    def note(self, entry: AuditEntry) -> None:
        """Note an entry; it is written soon."""
        ...


class AuditWriter(Protocol):
    """Writes entries to the audit log."""

    async def write(self, tenant: str, entries: list[tuple[AuditEntry, int]]) -> None:
        """Write entries of a tenant, each with the number of times that it was noted, in one transaction.

        Raises:
            StorageUnavailable: The database cannot be reached.
        """
        ...


class _NoAudit:
    """Takes no notes."""

    def note(self, entry: AuditEntry) -> None:
        """Note nothing."""


NO_AUDIT: Auditor = _NoAudit()
"""The auditor of a gateway without an audit log."""


class AuditNotes:
    """An :class:`Auditor` that writes once a second.

    While the database cannot be reached, notes wait. Of more different ones than 10,000 further ones are counted only,
    and their number is logged.

    Args:
        writer: Writes the entries.
        interval: Seconds between two writes.
    """

    def __init__(self, writer: AuditWriter, *, interval: float = _INTERVAL_S) -> None:
        self._writer = writer
        self._interval = interval
        self._waiting: Counter[AuditEntry] = Counter()
        self._lost = 0
        self._writing = asyncio.Lock()

    def note(self, entry: AuditEntry) -> None:
        """Note an entry."""
        if entry in self._waiting or len(self._waiting) < _MAX_WAITING:
            self._waiting[entry] += 1
        else:
            self._lost += 1

    async def run(self) -> None:
        """Write until cancelled, and once more then."""
        try:
            while True:
                await asyncio.sleep(self._interval)
                # Shielded: what is being written when the gateway stops is neither lost nor written twice.
                await asyncio.shield(self.flush())
        finally:
            await self.flush()
            if self._waiting:
                _report_lost(self._waiting.total(), "the database could not be written to until the gateway stopped")

    async def flush(self) -> None:
        """Write what waits; what cannot be written waits on."""
        async with self._writing:
            waiting, self._waiting = self._waiting, Counter()
            by_tenant: dict[str, list[tuple[AuditEntry, int]]] = {}
            for entry, count in waiting.items():
                by_tenant.setdefault(entry.principal.tenant, []).append((entry, count))
            while by_tenant:
                tenant = next(iter(by_tenant))
                try:
                    await self._writer.write(tenant, by_tenant[tenant])
                except Exception as error:
                    _report_waiting(error)
                    # Those of the other tenants are tried first the next time.
                    by_tenant[tenant] = by_tenant.pop(tenant)
                    break
                del by_tenant[tenant]
            for entry, count in itertools.chain.from_iterable(by_tenant.values()):
                self._waiting[entry] += count
        if self._lost:
            _report_lost(self._lost, "too many waited")
            self._lost = 0


def note_refusal(auditor: Auditor, principal: Principal, call: str, error: SixpointError) -> None:
    """Note that a call was refused, if it may be that of somebody who looks for what is not theirs.

    Args:
        auditor: Takes the note.
        principal: Who made the call.
        call: Name of the call.
        error: Why it was refused.
    """
    if isinstance(error, _AUDITED):
        auditor.note(AuditEntry(principal, Action.CALL, call, outcome=error.reason))


def _report_waiting(error: Exception) -> None:
    reason = error.reason if isinstance(error, SixpointError) else ""
    # Anything else is a bug; it must not end the writing.
    trace = None if reason else error
    _log.warning("the audit log cannot be written; its entries wait", extra={"reason": reason}, exc_info=trace)


def _report_lost(entries: int, why: str) -> None:
    _log.error("entries of the audit log were lost: %s", why, extra={"entries": entries})
