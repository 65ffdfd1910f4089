"""Access: who calls, what the caller's roles allow, and whose objects they may change."""

from gateway.core.access.audit import NO_AUDIT, Action, AuditEntry, AuditNotes, Auditor, AuditWriter, note_refusal
from gateway.core.access.credentials import Authenticator, Credentials
from gateway.core.access.limits import Activity, CallLimits, Unlimited
from gateway.core.access.open_access import OpenAccess
from gateway.core.access.ownership import check_may_change
from gateway.core.access.principal import (
    DEFAULT_TENANT,
    NOBODY,
    Method,
    Principal,
    Role,
    check_role,
    check_tenant,
    gateway_itself,
)

__all__ = [
    "DEFAULT_TENANT",
    "NOBODY",
    "NO_AUDIT",
    "Action",
    "Activity",
    "AuditEntry",
    "AuditNotes",
    "AuditWriter",
    "Auditor",
    "Authenticator",
    "CallLimits",
    "Credentials",
    "Method",
    "OpenAccess",
    "Principal",
    "Role",
    "Unlimited",
    "check_may_change",
    "check_role",
    "check_tenant",
    "gateway_itself",
    "note_refusal",
]
