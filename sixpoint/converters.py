"""Messages of ``sixpoint.v1`` from and to sixpoint's own types; used on both sides of the wire."""

from __future__ import annotations

from collections.abc import Sequence

from google.protobuf.duration_pb2 import Duration

from sixpoint.errors import InternalError, PromptError, Violation, VolumeError
from sixpoint.geometry import Geometry
from sixpoint.mask import PackedMask, Timings
from sixpoint.prompts import ExtremePoints, Frame
from sixpoint.spec import ModelSpec, PromptKind, Task
from sixpoint.v1 import annotation_service_pb2 as annotation
from sixpoint.v1 import model_service_pb2 as models
from sixpoint.v1 import volume_pb2 as volumes

__all__ = [
    "geometry_from_message",
    "geometry_to_message",
    "mask_from_message",
    "mask_to_message",
    "model_to_message",
    "points_from_message",
    "points_to_message",
    "timings_from_message",
    "timings_to_message",
]

_FRAMES: dict[Frame, volumes.Frame.ValueType] = {
    Frame.VOXEL: volumes.FRAME_VOXEL,
    Frame.LPS: volumes.FRAME_LPS,
    Frame.RAS: volumes.FRAME_RAS,
}
_TASKS: dict[Task, models.Task.ValueType] = {Task.ANNOTATION: models.TASK_ANNOTATION}
_KINDS: dict[PromptKind, models.PromptKind.ValueType] = {
    PromptKind.EXTREME_POINTS: models.PROMPT_KIND_EXTREME_POINTS,
}
_PHASES = ("queue", "preprocess", "inference", "postprocess", "encode")


def geometry_to_message(geometry: Geometry) -> volumes.Geometry:
    """A geometry as a message."""
    return volumes.Geometry(
        size=geometry.size, spacing=geometry.spacing, origin=geometry.origin, direction=geometry.direction
    )


def geometry_from_message(message: volumes.Geometry) -> Geometry:
    """A geometry from a message.

    Raises:
        VolumeError: When it has too few numbers, or they make no geometry.
    """
    counts = {"size": 3, "spacing": 3, "origin": 3, "direction": 9}
    for name, count in counts.items():
        got = len(getattr(message, name))
        if got != count:
            raise VolumeError(
                f"geometry: {name} needs {count} numbers, got {got}",
                violations=(Violation(f"geometry.{name}", f"{count} numbers"),),
            )
    return Geometry(
        size=_triple(message.size),
        spacing=(message.spacing[0], message.spacing[1], message.spacing[2]),
        origin=(message.origin[0], message.origin[1], message.origin[2]),
        direction=tuple(message.direction),  # type: ignore[arg-type]  # nine, as counted above
    )


def points_to_message(prompt: ExtremePoints) -> annotation.ExtremePoints:
    """Extreme points as a message."""
    return annotation.ExtremePoints(
        frame=_FRAMES[Frame(prompt.frame)], points=[volumes.Point(x=x, y=y, z=z) for x, y, z in prompt.points]
    )


def points_from_message(message: annotation.ExtremePoints) -> ExtremePoints:
    """Extreme points from a message.

    Raises:
        PromptError: When the frame is not named, or a number is not finite.
    """
    named = {number: frame for frame, number in _FRAMES.items()}
    if message.frame not in named:
        raise PromptError(
            "extreme points: the frame is missing or unknown; expected FRAME_VOXEL, FRAME_LPS or FRAME_RAS",
            violations=(Violation("frame", "FRAME_VOXEL, FRAME_LPS or FRAME_RAS"),),
        )
    return ExtremePoints([(point.x, point.y, point.z) for point in message.points], named[message.frame])


def mask_to_message(packed: PackedMask) -> annotation.MaskPatch:
    """A packed mask as a message."""
    return annotation.MaskPatch(
        box=volumes.Box(lower=packed.lower, upper=packed.upper),
        bits=packed.bits,
        sha256=packed.sha256,
        voxel_count=packed.voxel_count,
    )


def mask_from_message(message: annotation.MaskPatch) -> PackedMask:
    """A packed mask from a message.

    Raises:
        InternalError: When it has no box.
    """
    if len(message.box.lower) != 3 or len(message.box.upper) != 3:
        raise InternalError("the mask arrived damaged: its box is missing")
    return PackedMask(
        lower=_triple(message.box.lower),
        upper=_triple(message.box.upper),
        bits=message.bits,
        sha256=message.sha256,
        voxel_count=message.voxel_count,
    )


def timings_to_message(timings: Timings) -> annotation.Timings:
    """Timings as a message."""
    message = annotation.Timings()
    for phase in _PHASES:
        duration: Duration = getattr(message, phase)
        duration.FromTimedelta(getattr(timings, phase))
    return message


def timings_from_message(message: annotation.Timings) -> Timings:
    """Timings from a message."""
    return Timings(**{phase: getattr(message, phase).ToTimedelta() for phase in _PHASES})


def model_to_message(name: str, version: str, spec: ModelSpec) -> models.Model:
    """A model as a message."""
    return models.Model(
        name=name,
        version=version,
        title=spec.title,
        description=spec.description,
        task=_TASKS[spec.task],
        modalities=spec.modalities,
        labels=spec.labels,
        prompt_kinds=[_KINDS[kind] for kind in spec.prompts],
        licence=spec.licence,
        metrics=spec.metrics,
    )


def _triple(values: Sequence[int]) -> tuple[int, int, int]:
    x, y, z = values
    return x, y, z
