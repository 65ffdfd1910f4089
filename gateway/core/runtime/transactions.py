"""Transactions on records: what the core needs of a database.

Those of callers see the records of one tenant only. What a gateway does by itself, for all tenants, has an interface
of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeVar

__all__ = ["Maintenance", "Repository"]

_Reader_co = TypeVar("_Reader_co", covariant=True)
_Writer_co = TypeVar("_Writer_co", covariant=True)
_Work_co = TypeVar("_Work_co", covariant=True)
_Result = TypeVar("_Result")


class Repository(Protocol[_Reader_co, _Writer_co]):
    """Records of one subject, read and changed in transactions.

    The work of a transaction is a function, which runs on a thread of the repository. What records need to be stored,
    such as compressing an answer, runs there, too: a thread of its own would be a second wait.
    """

    async def read(self, work: Callable[[_Reader_co], _Result], *, tenant: str) -> _Result:
        """Run queries on one snapshot of a tenant's records.

        Args:
            work: Function of the queries; it runs a second time when the connection was lost.
            tenant: Name of the tenant.

        Raises:
            StorageUnavailable: The database cannot be reached.
        """
        ...

    async def write(self, work: Callable[[_Writer_co], _Result], *, tenant: str) -> _Result:
        """Run one transaction on a tenant's records: it commits when ``work`` returns, and rolls back when it raises.

        If the waiting task is cancelled, the transaction still either commits whole or not at all.

        Args:
            work: Function of the queries and changes. It runs again when the connection was lost, or another
                transaction conflicted, before the commit; so it has no effects besides its changes.
            tenant: Name of the tenant.

        Raises:
            StorageUnavailable: The database cannot be reached, or is locked for too long. If the connection was lost
                during the commit, the transaction may have been committed; it is never repeated.
            StorageFull: The disk of the database is full.
        """
        ...


class Maintenance(Protocol[_Work_co]):
    """Transactions on the records of all tenants, which no caller asks for: expiry, removal, sums."""

    async def read(self, work: Callable[[_Work_co], _Result]) -> _Result:
        """Run queries on one snapshot, as :meth:`Repository.read` does."""
        ...

    async def write(self, work: Callable[[_Work_co], _Result]) -> _Result:
        """Run one transaction, as :meth:`Repository.write` does."""
        ...
