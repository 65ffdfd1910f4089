"""What a client is told: models, sessions, segments, steps."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from google.protobuf.timestamp_pb2 import Timestamp

from sixpoint.prompts import Prompt
from sixpoint.protocol.converters import prompt_from_message
from sixpoint.v1 import model_service_pb2 as models
from sixpoint.v1 import session_service_pb2 as sessions

__all__ = ["ModelInfo", "SegmentInfo", "SessionInfo", "StepInfo", "read_model", "read_session", "read_step"]


@dataclass(frozen=True)
class ModelInfo:
    """A model that can be used.

    Attributes:
        name: To open sessions with.
        version: The version that answers now.
        title: For people.
        description: What it does.
        task: What it is for, e.g. "annotation".
        modalities: In DICOM's terms; empty means any.
        labels: Names of the labels 1, 2, ... of its masks.
        prompts: What it takes: "extreme_points", "box", "clicks", "mask".
        licence: Its licence.
        metrics: Measured figures by name.
    """

    name: str
    version: str
    title: str
    description: str
    task: str
    modalities: tuple[str, ...]
    labels: tuple[str, ...]
    prompts: tuple[str, ...]
    licence: str
    metrics: dict[str, float]


@dataclass(frozen=True)
class SegmentInfo:
    """One labelled object of a session.

    Attributes:
        number: Its label, 1 to 255.
        name: What it is; may be empty.
        step: Steps in force.
        steps: Steps in all; those beyond can be redone.
    """

    number: int
    name: str
    step: int
    steps: int


@dataclass(frozen=True)
class SessionInfo:
    """A session on the gateway.

    Attributes:
        id: To resume it with.
        model: Its model.
        revision: Number of its changes.
        segments: Its objects, by number.
        image_digest: SHA-256 of its image.
        created: When it was opened.
        used: When it was last used.
        expires: When it closes by itself, unless it is used before.
    """

    id: str
    model: str
    revision: int
    segments: tuple[SegmentInfo, ...]
    image_digest: str
    created: datetime
    used: datetime
    expires: datetime


@dataclass(frozen=True)
class StepInfo:
    """One step of a segment's log: what was shown in one call.

    Attributes:
        segment: The segment's number.
        number: Its own, from 1.
        prompts: What was shown.
        revision: The session's, with it.
        model: The model that answered.
        model_version: Its version; empty for a mask that was brought along.
        created: When.
        in_force: Whether it counts; else it can be redone.
    """

    segment: int
    number: int
    prompts: tuple[Prompt, ...]
    revision: int
    model: str
    model_version: str
    created: datetime
    in_force: bool


def read_model(message: models.Model) -> ModelInfo:
    """A model of a response."""
    return ModelInfo(
        name=message.name,
        version=message.version,
        title=message.title,
        description=message.description,
        task=models.Task.Name(message.task).removeprefix("TASK_").lower(),
        modalities=tuple(message.modalities),
        labels=tuple(message.labels),
        prompts=tuple(
            models.PromptKind.Name(kind).removeprefix("PROMPT_KIND_").lower() for kind in message.prompt_kinds
        ),
        licence=message.licence,
        metrics=dict(message.metrics),
    )


def read_session(message: sessions.Session) -> SessionInfo:
    """A session of a response."""
    return SessionInfo(
        id=message.id,
        model=message.model,
        revision=message.revision,
        segments=tuple(SegmentInfo(one.number, one.name, one.step, one.step_count) for one in message.segments),
        image_digest=message.image_digest,
        created=_moment(message.create_time),
        used=_moment(message.use_time),
        expires=_moment(message.expire_time),
    )


def read_step(message: sessions.Step) -> StepInfo:
    """A step of a response."""
    return StepInfo(
        segment=message.segment,
        number=message.number,
        prompts=tuple(map(prompt_from_message, message.prompts)),
        revision=message.revision,
        model=message.model,
        model_version=message.model_version,
        created=_moment(message.create_time),
        in_force=message.in_force,
    )


def _moment(message: Timestamp) -> datetime:
    return message.ToDatetime(UTC)
