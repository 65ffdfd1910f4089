"""Which rows a transaction sees: those of one tenant, or those of all.

All statements on records run in a scope. What callers ask for runs in that of their tenant: :meth:`Scope.of` is the
condition that each table of a statement needs, and new rows get the tenant by themselves.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

from sqlalchemy import (
    BindParameter,
    ColumnElement,
    Connection,
    CursorResult,
    Executable,
    FromClause,
    ScalarResult,
    bindparam,
    true,
)

__all__ = ["TENANT", "AllTenants", "Scope", "TenantScope"]

TENANT: BindParameter[str] = bindparam("tenant_")
"""Tenant of the scope in which a statement runs, for statements that are built once."""

_Parameters: TypeAlias = Mapping[str, Any] | Sequence[Mapping[str, Any]]


class Scope:
    """A connection in a transaction.

    Args:
        conn: The connection.
    """

    def __init__(self, conn: Connection) -> None:
        self._conn = conn

    @property
    def connection(self) -> Connection:
        """The connection, for libraries that run statements of their own in the same transaction."""
        return self._conn

    @property
    def dialect(self) -> str:
        """Name of the database's dialect: ``sqlite`` or ``postgresql``."""
        return self._conn.dialect.name

    def of(self, table: FromClause) -> ColumnElement[bool]:
        """The condition that rows of a table, or of an alias of it, belong to the scope."""
        raise NotImplementedError

    def execute(self, statement: Executable, parameters: _Parameters | None = None) -> CursorResult[*tuple[Any, ...]]:
        """Run a statement."""
        return self._conn.execute(statement, parameters)

    def scalars(self, statement: Executable) -> ScalarResult[Any]:
        """Run a query, and return the first column."""
        return self.execute(statement).scalars()


class TenantScope(Scope):
    """The rows of one tenant.

    Args:
        conn: The connection.
        tenant: Name of the tenant.

    Attributes:
        tenant: Name of the tenant.
    """

    def __init__(self, conn: Connection, tenant: str) -> None:
        super().__init__(conn)
        self.tenant = tenant
        # The first is that of conditions, the second that of new rows.
        self._values = {TENANT.key: tenant, "tenant": tenant}

    def of(self, table: FromClause) -> ColumnElement[bool]:
        """The condition that rows of a table, or of an alias of it, are the tenant's."""
        return table.c.tenant == TENANT

    def execute(self, statement: Executable, parameters: _Parameters | None = None) -> CursorResult[*tuple[Any, ...]]:
        """Run a statement for the tenant."""
        values = self._values if statement.is_insert else {TENANT.key: self._values[TENANT.key]}
        if isinstance(parameters, Sequence):
            return self._conn.execute(statement, [{**row, **values} for row in parameters])
        return self._conn.execute(statement, {**(parameters or {}), **values})


class AllTenants(Scope):
    """The rows of all tenants, for what a gateway does on its own."""

    def of(self, table: FromClause) -> ColumnElement[bool]:  # noqa: ARG002
        """No condition."""
        return true()
