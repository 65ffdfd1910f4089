"""Convert messages of ``sixpoint.v1`` from and to sixpoint's own types, in the client and in the gateway."""

from __future__ import annotations

from collections.abc import Sequence

from google.protobuf.duration_pb2 import Duration

from sixpoint.errors import InternalError, VolumeError
from sixpoint.geometry import Geometry
from sixpoint.mask import PackedMask, Timings
from sixpoint.model_spec import ExpectedImage, ModelSpec, PromptKind, Task
from sixpoint.v1 import annotation_service_pb2 as annotation_pb
from sixpoint.v1 import model_service_pb2 as model_pb
from sixpoint.v1 import volume_pb2 as volume_pb

__all__ = [
    "geometry_from_message",
    "geometry_to_message",
    "mask_from_message",
    "mask_to_message",
    "model_to_message",
    "timings_from_message",
    "timings_to_message",
    "write_mask",
]

_TASKS: dict[Task, model_pb.Task.ValueType] = {
    Task.ANNOTATION: model_pb.TASK_ANNOTATION,
    Task.SEGMENTATION: model_pb.TASK_SEGMENTATION,
}
_KINDS: dict[PromptKind, model_pb.PromptKind.ValueType] = {
    PromptKind.EXTREME_POINTS: model_pb.PROMPT_KIND_EXTREME_POINTS,
    PromptKind.BOX: model_pb.PROMPT_KIND_BOX,
    PromptKind.CLICKS: model_pb.PROMPT_KIND_CLICKS,
    PromptKind.MASK: model_pb.PROMPT_KIND_MASK,
    PromptKind.SCRIBBLES: model_pb.PROMPT_KIND_SCRIBBLES,
    PromptKind.LASSO: model_pb.PROMPT_KIND_LASSO,
}
_PHASES = ("queue", "preprocess", "inference", "postprocess", "encode", "store")


def geometry_to_message(geometry: Geometry) -> volume_pb.Geometry:
    """Convert a geometry to a message."""
    return volume_pb.Geometry(
        size=geometry.size, spacing=geometry.spacing, origin=geometry.origin, direction=geometry.direction
    )


def geometry_from_message(message: volume_pb.Geometry) -> Geometry:
    """Convert a message to a geometry.

    Raises:
        VolumeError: The message has too few numbers, or they are no geometry.
    """
    try:
        return Geometry(
            size=tuple(message.size),  # type: ignore[arg-type]  # counted by Geometry, as the next ones
            spacing=tuple(message.spacing),  # type: ignore[arg-type]
            origin=tuple(message.origin),  # type: ignore[arg-type]
            direction=tuple(message.direction),  # type: ignore[arg-type]
        )
    except VolumeError as error:
        raise error.under("geometry") from None


def mask_to_message(packed: PackedMask) -> annotation_pb.MaskPatch:
    """Convert a packed mask to a message."""
    message = annotation_pb.MaskPatch()
    write_mask(packed, message)
    return message


def write_mask(packed: PackedMask, message: annotation_pb.MaskPatch) -> None:
    """Write a packed mask into an empty message, which may be a part of another one: a part given whole is copied."""
    message.box.lower.extend(packed.lower)
    message.box.upper.extend(packed.upper)
    message.bits = packed.bits
    message.sha256 = packed.sha256
    message.voxel_count = packed.voxel_count
    message.base_revision = packed.base_revision


def mask_from_message(message: annotation_pb.MaskPatch) -> PackedMask:
    """Convert a message to a packed mask.

    Raises:
        InternalError: The message has no box.
    """
    if len(message.box.lower) != 3 or len(message.box.upper) != 3:
        raise InternalError("the mask arrived damaged: its box is missing")
    return PackedMask(
        lower=_triple(message.box.lower),
        upper=_triple(message.box.upper),
        bits=message.bits,
        sha256=message.sha256,
        voxel_count=message.voxel_count,
        base_revision=message.base_revision,
    )


def timings_to_message(timings: Timings) -> annotation_pb.Timings:
    """Convert timings to a message."""
    message = annotation_pb.Timings()
    for phase in _PHASES:
        duration: Duration = getattr(message, phase)
        duration.FromTimedelta(getattr(timings, phase))
    return message


def timings_from_message(message: annotation_pb.Timings) -> Timings:
    """Convert a message to timings."""
    return Timings(**{phase: getattr(message, phase).ToTimedelta() for phase in _PHASES})


def model_to_message(name: str, version: str, spec: ModelSpec) -> model_pb.Model:
    """Convert a model to a message."""
    expected = ExpectedImage.of_spec(spec)
    return model_pb.Model(
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
        patch=model_pb.Patch(size=spec.patch.size, spacing=spec.patch.spacing) if spec.patch else None,
        prompt_kinds_as_clicks=[_KINDS[kind] for kind in spec.prompts_as_clicks],
        image_windows=[model_pb.ImageWindow(low=low, high=high) for low, high in expected.windows],
    )


def _triple(values: Sequence[int]) -> tuple[int, int, int]:
    x, y, z = values
    return x, y, z
