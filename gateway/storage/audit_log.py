"""The audit log in the database: a chain of hashes for each tenant, so that a changed or missing entry is noticed.

Each entry's hash is that of its fields and of the hash before it. Whoever can write to the database can also compute a
whole new chain; it does not lead to a head that was stored elsewhere (``gateway audit head``).
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import bindparam, delete, func, insert, select, update

from gateway.core.access import AuditEntry
from gateway.storage.database import Database
from gateway.storage.schema import audit, audit_heads
from gateway.storage.scopes import TENANT, AllTenants, Scope, TenantScope

__all__ = [
    "AuditFault",
    "AuditHead",
    "AuditLog",
    "append_entries",
    "entries_of",
    "heads",
    "remove_entries",
    "tenants",
    "verify",
]

_START = ""
_PAGE = 1000
# Meanwhile no change of the tenant can be noted: a million entries at once take longer than a change may wait.
_REMOVED_AT_ONCE = 5000
_FIELDS = [column.name for column in audit.c if column.name != "hash"]
_COLUMNS = {column.name: column.type.length for column in audit.c if getattr(column.type, "length", None)}  # type: ignore[attr-defined]

# Statements of every change are built once.
_OF_TENANT = audit_heads.c.tenant == TENANT
_FIND_HEAD = select(audit_heads.c.number, audit_heads.c.hash).where(_OF_TENANT).with_for_update()
_ADD_ENTRIES = insert(audit)
_MOVE_HEAD = update(audit_heads).where(_OF_TENANT).values(number=bindparam("number_"), hash=bindparam("hash_"))


@dataclass(frozen=True)
class AuditHead:
    """Where the log of a tenant ends.

    Attributes:
        tenant: Name of the tenant; empty for calls whose caller is not known.
        number: Number of the last entry.
        hash: Its hash.
        removed: Number of the last entry that was removed for its age; 0 if none was.
    """

    tenant: str
    number: int
    hash: str
    removed: int


@dataclass(frozen=True)
class AuditFault:
    """Something that is wrong with the log of a tenant.

    Attributes:
        tenant: Name of the tenant.
        number: Number of the first entry that is wrong.
        what: What is wrong with it.
    """

    tenant: str
    number: int
    what: str


def append_entries(scope: TenantScope, entries: Sequence[tuple[AuditEntry, int]], *, now: float) -> None:
    """Add entries to the log of the scope's tenant, within the transaction.

    Call it last: other transactions that add to the log wait until this one ends.

    Args:
        scope: Scope of the transaction.
        entries: Entries, each with the number of times that it was noted.
        now: Time of the entries, seconds since 1970.
    """
    head = scope.execute(_FIND_HEAD).one_or_none()
    if head is None:
        values = {"number": 0, "hash": _START, "removed": 0, "removed_hash": _START}
        # Another transaction may be adding the first entry just now: this one then fails, and runs again.
        scope.execute(insert(audit_heads).values(values))
    number, previous = head or (0, _START)
    rows = []
    for entry, count in entries:
        number += 1
        row = _row(entry, count, tenant=scope.tenant, number=number, now=now)
        previous = _hash(row, previous)
        rows.append({**row, "hash": previous})
    scope.execute(_ADD_ENTRIES, rows)
    scope.execute(_MOVE_HEAD, {"number_": number, "hash_": previous})


def heads(scope: Scope) -> list[AuditHead]:
    """Where the logs of all tenants end."""
    columns = (audit_heads.c.tenant, audit_heads.c.number, audit_heads.c.hash, audit_heads.c.removed)
    return [AuditHead(*row) for row in scope.execute(select(*columns).order_by(audit_heads.c.tenant))]


def tenants(scope: Scope) -> list[str]:
    """The tenants that have a log, or what is left of one."""
    query = select(audit_heads.c.tenant).union(select(audit.c.tenant))
    return sorted(scope.scalars(query))


def entries_of(scope: Scope, tenant: str, *, after: int = 0) -> Iterator[dict[str, Any]]:
    """The entries of a tenant's log, with their hashes, from the one after a number on."""
    while True:
        query = select(audit).where(audit.c.tenant == tenant, audit.c.number > after)
        page = scope.execute(query.order_by(audit.c.number).limit(_PAGE)).all()
        for row in page:
            yield dict(row._mapping)
        if len(page) < _PAGE:
            return
        after = page[-1].number


def verify(scope: Scope, tenant: str) -> AuditFault | None:
    """Check the log of a tenant from its first entry to its last; return the first thing that is wrong."""
    head = scope.execute(select(audit_heads).where(audit_heads.c.tenant == tenant)).one_or_none()
    if head is None:
        first = next(entries_of(scope, tenant), None)
        return None if first is None else AuditFault(tenant, first["number"], "the log has entries and no head")
    number, previous = head.removed, head.removed_hash
    for row in entries_of(scope, tenant):
        number += 1
        if row["number"] != number:
            return AuditFault(tenant, number, "the entry is missing")
        previous = _hash(row, previous)
        if previous != row["hash"]:
            return AuditFault(tenant, number, "the entry is not the one that was written")
    if number < head.number:
        return AuditFault(tenant, number + 1, "the entry is missing")
    if number > head.number:
        return AuditFault(tenant, head.number + 1, "the entry is after the head, which was changed")
    return None if previous == head.hash else AuditFault(tenant, number, "the head is not the one that was written")


def remove_entries(scope: AllTenants, *, before: float, limit: int = _REMOVED_AT_ONCE) -> int:
    """Remove entries from before a time, from the beginning of each log.

    Args:
        scope: Scope of the transaction.
        before: Time in seconds since 1970.
        limit: Number of entries of each log to remove at most.

    Returns:
        Number of entries that were removed; 0 if there are no more.
    """
    removed = 0
    # Another gateway may remove some just now.
    scope.execute(select(audit_heads.c.tenant).order_by(audit_heads.c.tenant).with_for_update()).all()
    last = select(audit.c.tenant, func.max(audit.c.number)).where(audit.c.time < before).group_by(audit.c.tenant)
    for tenant, number in scope.execute(last.order_by(audit.c.tenant)).all():
        old = (audit.c.tenant == tenant, audit.c.number <= number)
        first = select(audit.c.number, audit.c.hash).where(*old).order_by(audit.c.number).limit(limit)
        until, known = scope.execute(first).all()[-1]
        values = {"removed": until, "removed_hash": known}
        scope.execute(update(audit_heads).where(audit_heads.c.tenant == tenant).values(values))
        removed += scope.execute(delete(audit).where(audit.c.tenant == tenant, audit.c.number <= until)).rowcount
    return removed


class AuditLog:
    """A :class:`gateway.core.access.AuditWriter` on a database.

    Args:
        database: The database.
        now: Clock, in seconds since 1970.
    """

    def __init__(self, database: Database, *, now: Callable[[], float] = time.time) -> None:
        self._database = database
        self._now = now

    async def write(self, tenant: str, entries: list[tuple[AuditEntry, int]]) -> None:
        """Write entries of a tenant in one transaction."""
        now = self._now()
        await self._database.write(lambda conn: append_entries(TenantScope(conn, tenant), entries, now=now))

    async def remove(self, *, before: float) -> int:
        """Remove the entries from before a time, some in each transaction; return their number."""
        removed = 0
        while count := await self._database.write(lambda conn: remove_entries(AllTenants(conn), before=before)):
            removed += count
        return removed


def _row(entry: AuditEntry, count: int, *, tenant: str, number: int, now: float) -> dict[str, Any]:
    principal = entry.principal
    row: dict[str, Any] = {
        "tenant": tenant,
        "number": number,
        "time": now,
        "subject": principal.subject,
        "role": principal.role.name.lower() if principal.role is not None else "",
        "method": principal.method,
        "peer": principal.peer,
        "action": entry.action.value,
        "object": entry.object,
        "source": entry.source,
        "outcome": entry.outcome,
        "count": count,
    }
    # What a caller names may be longer than any id.
    return {name: value[: _COLUMNS[name]] if name in _COLUMNS else value for name, value in row.items()}


def _hash(row: dict[str, Any], previous: str) -> str:
    text = json.dumps([previous, *(row[name] for name in _FIELDS)], separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()
