"""The records of sessions, segments and steps, as the repository keeps them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from gateway.core.annotation.preprocess import Prediction
from sixpoint.prompts import Prompt

__all__ = [
    "ROW_BYTES",
    "Cursor",
    "EncodedStep",
    "ModelUse",
    "RequestOutcome",
    "SegmentRow",
    "SessionRow",
    "StepCursor",
    "StepRow",
    "TurnRow",
]

ROW_BYTES = 128
"""Estimate of the bytes of a record without large parts."""

Cursor = tuple[float, str]
"""Position in a list of sessions: time of last use, and id, of the last session of a page."""

StepCursor = tuple[int, int]
"""Position in a list of steps: segment and number of the last step of a page."""


@dataclass(frozen=True)
class SessionRow:
    """A session. Times are seconds since 1970, UTC.

    Attributes:
        id: Random id.
        tenant: Name of the tenant.
        owner: Subject that opened it, and whose quota is charged.
        image_digest: SHA-256 of the image.
        model: Name of the model that answers prompts.
        revision: Number of changes so far.
        created: Time of creation.
        used: Time of last use.
        ended: Time of the end; None while the session is open.
        expired: Whether the session ended because it was idle.
        step_count: Number of steps of all segments, those included that are shared with another session.
        log_bytes: Bytes that the session's own log takes in the database.
    """

    id: str
    tenant: str
    owner: str
    image_digest: str
    model: str
    revision: int
    created: float
    used: float
    ended: float | None
    expired: bool
    step_count: int = 0
    log_bytes: int = 0


@dataclass(frozen=True)
class SegmentRow:
    """A segment of a session.

    Attributes:
        number: Label of the segment, from 1.
        name: Name given by the user; empty if none.
        head: Number of the last step in force; 0 before the first.
        length: Number of the last step stored; steps after ``head`` can be redone.
    """

    number: int
    name: str = ""
    head: int = 0
    length: int = 0


@dataclass(frozen=True, eq=False)
class StepRow:
    """A step of a segment.

    Attributes:
        segment: Number of the segment.
        number: Number of the step, from 1.
        start_step: Number of the step that started the current object.
        revision: Revision of the session after the step.
        prompts: Prompts of the step.
        model: Name of the model that answered.
        model_version: Version of that model.
        created: Time of the step, seconds since 1970, UTC.
        threshold: Probability from which a voxel belongs to the object.
        prediction: Answer of the model; None if it was not asked for.
    """

    segment: int
    number: int
    start_step: int
    revision: int
    prompts: tuple[Prompt, ...]
    model: str
    model_version: str
    created: float
    threshold: float
    prediction: Prediction | None


@dataclass(frozen=True, eq=False)
class EncodedStep:
    """A step as the repository stores it.

    Attributes:
        segment: Number of the segment.
        number: Number of the step.
        values: The rest, in a form that only the repository knows.
        nbytes: Bytes that the step takes.
    """

    segment: int
    number: int
    values: Mapping[str, Any]
    nbytes: int


@dataclass(frozen=True)
class RequestOutcome:
    """What a call with a request id changed, for when the call is repeated.

    Attributes:
        revision: Revision of the session after the call.
        segment: Number of the segment that changed; 0 if none.
        head: Number of the segment's last step in force after the call.
    """

    revision: int
    segment: int
    head: int


@dataclass(frozen=True)
class TurnRow:
    """A claim to the next turn on a session.

    Attributes:
        holder: Random name of the gateway process.
        until: Time when the claim ends, seconds since 1970.
    """

    holder: str
    until: float


@dataclass(frozen=True)
class ModelUse:
    """A condition on sessions: they show an answer of a model, or their next prompt would go to it.

    Attributes:
        model: Name of the model.
        version: Version of the model; empty for any.
        assigned: Function of a session's id: whether a session of this model is assigned this version.
    """

    model: str
    version: str
    assigned: Callable[[str], bool]
