"""The database: its engines, transactions, errors, and how far it has come."""

from __future__ import annotations

from gateway.storage.database.database import Database

__all__ = ["Database"]
