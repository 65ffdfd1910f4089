"""Models, sessions, segments and steps, as the gateway describes them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from google.protobuf.timestamp_pb2 import Timestamp

from sixpoint._typing import Size, Vector
from sixpoint.model_spec import ExpectedImage
from sixpoint.prompts import Prompt
from sixpoint.protocol import prompt_from_message
from sixpoint.v1 import model_service_pb2 as model_pb
from sixpoint.v1 import session_service_pb2 as session_pb

__all__ = ["ModelInfo", "SegmentInfo", "SessionInfo", "StepInfo", "read_model", "read_session", "read_step"]


@dataclass(frozen=True)
class ModelInfo:
    """A model that the gateway serves.

    Attributes:
        name: Name to open sessions with.
        version: Version that answers at present.
        title: Title for display.
        description: Description of what the model does.
        task: Kind of task, "annotation" or "segmentation".
        modalities: Modalities in DICOM's terms, such as "CT"; empty for any.
        labels: Names of the labels 1, 2, ... of its masks.
        prompts: Kinds of prompts it takes: "extreme_points", "box", "clicks", "mask"; and "scribbles" and "lasso", of
            which the gateway makes clicks where the network has no channel for them.
        licence: Licence of its weights.
        metrics: Measured figures by name.
        patch_size: Cells (x, y, z) that a segmentation network sees at once; None for annotation, and where the gateway
            is too old to say it.
        patch_spacing: Millimetres between these cells along (x, y, z); None where ``patch_size`` is.
        image_windows: Lowest and highest value of each image window that is given in the image's own units.
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
    patch_size: Size | None = None
    patch_spacing: Vector | None = None
    image_windows: tuple[tuple[float, float], ...] = ()

    @property
    def expected_image(self) -> ExpectedImage:
        """What the model expects of an image."""
        return ExpectedImage(
            segmentation=self.task == "segmentation",
            modalities=self.modalities,
            patch_size=self.patch_size,
            patch_spacing=self.patch_spacing,
            windows=self.image_windows,
        )


_PROMPT_KINDS = {
    number: name.removeprefix("PROMPT_KIND_").lower() for name, number in model_pb.PromptKind.items() if number
}


@dataclass(frozen=True)
class SegmentInfo:
    """One segment of a session: a labelled object.

    Attributes:
        number: Number of the segment, 1 to 255; its label in saved masks.
        name: Name of the object; may be empty.
        step: Number of steps in force, those that undo can take back.
        steps: Number of steps in all; those after ``step`` can be redone.
    """

    number: int
    name: str
    step: int
    steps: int


@dataclass(frozen=True)
class SessionInfo:
    """A session on the gateway.

    Attributes:
        id: Id to resume the session with.
        model: Name of the model that answers its prompts.
        revision: Number of its changes.
        segments: Segments by number.
        image_digest: SHA-256 of its image.
        created: Time when it was opened.
        used: Time when it was last used.
        expires: Time when it closes by itself, unless it is used before.
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
    """One step of a segment: the prompts of one call.

    Attributes:
        segment: Number of the segment.
        number: Number of the step, from 1.
        prompts: Prompts of the call.
        revision: Revision of the session after the call.
        model: Name of the model that answered.
        model_version: Version of that model; empty for a mask prompt, which needs no model.
        created: Time of the call.
        in_force: Whether the step counts; one that was undone can be redone.
    """

    segment: int
    number: int
    prompts: tuple[Prompt, ...]
    revision: int
    model: str
    model_version: str
    created: datetime
    in_force: bool


def read_model(message: model_pb.Model) -> ModelInfo:
    """Convert a model of a response."""
    patch = message.patch if len(message.patch.size) == len(message.patch.spacing) == 3 else None
    return ModelInfo(
        name=message.name,
        version=message.version,
        title=message.title,
        description=message.description,
        task=model_pb.Task.Name(message.task).removeprefix("TASK_").lower(),
        modalities=tuple(message.modalities),
        labels=tuple(message.labels),
        prompts=tuple(
            _PROMPT_KINDS[kind]
            for kind in (*message.prompt_kinds, *message.prompt_kinds_as_clicks)
            # A later gateway may know other kinds.
            if kind in _PROMPT_KINDS
        ),
        licence=message.licence,
        metrics=dict(message.metrics),
        patch_size=(patch.size[0], patch.size[1], patch.size[2]) if patch else None,
        patch_spacing=(patch.spacing[0], patch.spacing[1], patch.spacing[2]) if patch else None,
        image_windows=tuple((window.low, window.high) for window in message.image_windows),
    )


def read_session(message: session_pb.Session) -> SessionInfo:
    """Convert a session of a response."""
    return SessionInfo(
        id=message.id,
        model=message.model,
        revision=message.revision,
        segments=tuple(SegmentInfo(part.number, part.name, part.step, part.step_count) for part in message.segments),
        image_digest=message.image_digest,
        created=_to_datetime(message.create_time),
        used=_to_datetime(message.use_time),
        expires=_to_datetime(message.expire_time),
    )


def read_step(message: session_pb.Step) -> StepInfo:
    """Convert a step of a response."""
    return StepInfo(
        segment=message.segment,
        number=message.number,
        prompts=tuple(map(prompt_from_message, message.prompts)),
        revision=message.revision,
        model=message.model,
        model_version=message.model_version,
        created=_to_datetime(message.create_time),
        in_force=message.in_force,
    )


def _to_datetime(message: Timestamp) -> datetime:
    return message.ToDatetime(UTC)
