"""Sessions: open and close them, carry out calls on their segments, and keep the history of the steps."""

from gateway.core.sessions.engine import Engine
from gateway.core.sessions.expiry import SessionExpiry
from gateway.core.sessions.history import SegmentHistory
from gateway.core.sessions.listing import Session, SessionPage, StepPage
from gateway.core.sessions.log_quota import LogLimits, LogQuota
from gateway.core.sessions.records import (
    ROW_BYTES,
    Cursor,
    EncodedStep,
    ModelUse,
    RequestOutcome,
    SegmentRow,
    SessionRow,
    StepCursor,
    StepRow,
    TurnRow,
)
from gateway.core.sessions.repository import (
    SessionMaintenance,
    SessionReader,
    SessionRepository,
    SessionUpkeep,
    SessionWriter,
)
from gateway.core.sessions.request import AnnotationRequest, AnnotationResult
from gateway.core.sessions.sessions import Sessions
from gateway.core.sessions.state_cache import SegmentStateCache
from gateway.core.sessions.validation import check_model, check_request_id

__all__ = [
    "ROW_BYTES",
    "AnnotationRequest",
    "AnnotationResult",
    "Cursor",
    "EncodedStep",
    "Engine",
    "LogLimits",
    "LogQuota",
    "ModelUse",
    "RequestOutcome",
    "SegmentHistory",
    "SegmentRow",
    "SegmentStateCache",
    "Session",
    "SessionExpiry",
    "SessionMaintenance",
    "SessionPage",
    "SessionReader",
    "SessionRepository",
    "SessionRow",
    "SessionUpkeep",
    "SessionWriter",
    "Sessions",
    "StepCursor",
    "StepPage",
    "StepRow",
    "TurnRow",
    "check_model",
    "check_request_id",
]
