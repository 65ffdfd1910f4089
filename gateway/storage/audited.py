"""The part of writers that writes to the audit log, in the transaction of what it tells."""

from __future__ import annotations

import time

from gateway.core.access import AuditEntry
from gateway.storage.audit_log import append_entries
from gateway.storage.scopes import TenantScope

__all__ = ["AuditedWriter"]


class AuditedWriter:
    """Base of writers in a tenant's scope.

    Args:
        scope: The scope.
        audited: Whether entries are written to the audit log.
    """

    def __init__(self, scope: TenantScope, *, audited: bool = False) -> None:
        # The reader that a writer is, too.
        super().__init__(scope)  # type: ignore[call-arg]
        self._entries_to = scope if audited else None

    def audit(self, entry: AuditEntry) -> None:
        """Write an entry to the audit log, as the last change of the transaction."""
        if self._entries_to is not None:
            append_entries(self._entries_to, [(entry, 1)], now=time.time())
