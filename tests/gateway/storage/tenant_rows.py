"""What a tenant has in the database, and which statements do not look at a tenant."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, event, select

from gateway.storage import Database
from gateway.storage.schema import metadata

__all__ = ["TABLES", "rows", "statements", "unscoped"]

TABLES = {table.name for table in metadata.sorted_tables if "tenant" in table.c}


def rows(conn: Connection, tenant: str) -> dict[str, list[Any]]:
    """All that a tenant has."""
    return {
        table.name: sorted(map(repr, conn.execute(select(table).where(table.c.tenant == tenant))))
        for table in metadata.sorted_tables
        if table.name in TABLES
    }


@contextmanager
def statements(database: Database) -> Iterator[list[str]]:
    """The statements that are run meanwhile."""
    seen: list[str] = []

    def note(conn: Any, cursor: Any, statement: str, *_: Any) -> None:
        seen.append(statement)

    event.listen(database._engine, "before_cursor_execute", note)
    try:
        yield seen
    finally:
        event.remove(database._engine, "before_cursor_execute", note)


def unscoped(statement: str) -> set[str]:
    """The tables and aliases of a statement whose tenant it does not look at."""
    names = re.findall(r"\b(?:FROM|JOIN|UPDATE|INTO)\s+((?:\w+(?:\s+AS\s+\w+)?(?:,\s*)?)+)", statement)
    tables = set()
    for part in (part.strip() for name in names for part in name.split(",")):
        words = part.split()
        if words and words[0] in TABLES:
            tables.add(words[2] if len(words) > 2 and words[1].upper() == "AS" else words[0])
    inserted = re.match(r"INSERT INTO (\w+) \(([^)]*)\)", statement)
    scoped = {inserted[1]} if inserted and "tenant" in inserted[2] else set()
    return {table for table in tables if f"{table}.tenant" not in statement} - scoped
