"""Convert messages of ``sixpoint.v1`` from and to sixpoint's own types, in the client and in the gateway."""

from __future__ import annotations

from collections.abc import Sequence

from google.protobuf.duration_pb2 import Duration

from sixpoint.errors import InternalError, PromptError, Violation, VolumeError
from sixpoint.geometry import Geometry
from sixpoint.mask import PackedMask, Timings
from sixpoint.model_spec import ExpectedImage, ModelSpec, PromptKind, Task
from sixpoint.prompts import MAX_EXTREME_POINTS, Box, Click, ExtremePoints, Frame, InitialMask, Prompt
from sixpoint.v1 import annotation_service_pb2 as annotation_pb
from sixpoint.v1 import model_service_pb2 as model_pb
from sixpoint.v1 import volume_pb2 as volume_pb

__all__ = [
    "geometry_from_message",
    "geometry_to_message",
    "mask_from_message",
    "mask_to_message",
    "model_to_message",
    "prompt_from_message",
    "prompt_to_message",
    "timings_from_message",
    "timings_to_message",
    "write_mask",
]

_FRAMES: dict[Frame, volume_pb.Frame.ValueType] = {
    Frame.VOXEL: volume_pb.FRAME_VOXEL,
    Frame.LPS: volume_pb.FRAME_LPS,
    Frame.RAS: volume_pb.FRAME_RAS,
}
_TASKS: dict[Task, model_pb.Task.ValueType] = {
    Task.ANNOTATION: model_pb.TASK_ANNOTATION,
    Task.SEGMENTATION: model_pb.TASK_SEGMENTATION,
}
_KINDS: dict[PromptKind, model_pb.PromptKind.ValueType] = {
    PromptKind.EXTREME_POINTS: model_pb.PROMPT_KIND_EXTREME_POINTS,
    PromptKind.BOX: model_pb.PROMPT_KIND_BOX,
    PromptKind.CLICKS: model_pb.PROMPT_KIND_CLICKS,
    PromptKind.MASK: model_pb.PROMPT_KIND_MASK,
}
_SIGNS: dict[int, bool] = {annotation_pb.CLICK_SIGN_POSITIVE: True, annotation_pb.CLICK_SIGN_NEGATIVE: False}
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


def prompt_to_message(prompt: Prompt) -> annotation_pb.Prompt:
    """Convert a prompt to a message."""
    if isinstance(prompt, InitialMask):
        return annotation_pb.Prompt(mask=mask_to_message(prompt.packed))
    frame = _FRAMES[Frame(prompt.frame)]
    match prompt:
        case ExtremePoints(points):
            return annotation_pb.Prompt(
                extreme_points=annotation_pb.ExtremePoints(frame=frame, points=map(_point, points))
            )
        case Box(lower, upper):
            return annotation_pb.Prompt(
                box=annotation_pb.BoundingBox(frame=frame, lower=_point(lower), upper=_point(upper)),
            )
        case Click(point, positive):
            sign = annotation_pb.CLICK_SIGN_POSITIVE if positive else annotation_pb.CLICK_SIGN_NEGATIVE
            return annotation_pb.Prompt(click=annotation_pb.Click(frame=frame, point=_point(point), sign=sign))


def prompt_from_message(message: annotation_pb.Prompt) -> Prompt:
    """Convert a message to a prompt.

    Raises:
        PromptError: The kind, the frame, a click's sign or a point is missing, or a number is not finite.
    """
    match message.WhichOneof("kind"):
        case "extreme_points":
            points = message.extreme_points
            frame = _frame(points.frame, "extreme points")
            if len(points.points) > MAX_EXTREME_POINTS:
                # Checked before reading: a message can hold many thousands.
                raise PromptError(
                    f"extreme points: expected at most {MAX_EXTREME_POINTS} points, got {len(points.points)}",
                    violations=(Violation("points", f"at most {MAX_EXTREME_POINTS} points"),),
                )
            return ExtremePoints([_coordinates(point) for point in points.points], frame)
        case "box":
            box = message.box
            lower, upper = _required_point(box, "lower", "box"), _required_point(box, "upper", "box")
            return Box(lower, upper, _frame(box.frame, "box"))
        case "click":
            click = message.click
            if click.sign not in _SIGNS:
                raise PromptError(
                    "click: the sign is missing or unknown; expected CLICK_SIGN_POSITIVE or CLICK_SIGN_NEGATIVE",
                    violations=(Violation("sign", "CLICK_SIGN_POSITIVE or CLICK_SIGN_NEGATIVE"),),
                )
            return Click(_required_point(click, "point", "click"), _SIGNS[click.sign], _frame(click.frame, "click"))
        case "mask":
            try:
                return InitialMask(mask_from_message(message.mask))
            except InternalError as error:
                raise PromptError(f"mask: {error.message}", violations=(Violation("box", "two corners"),)) from error
    raise PromptError(
        "unknown kind of prompt; expected extreme points, a box, a mask or a click",
        violations=(Violation("kind", "extreme_points, box, mask or click"),),
    )


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
        image_windows=[model_pb.ImageWindow(low=low, high=high) for low, high in expected.windows],
    )


def _point(point: tuple[float, float, float]) -> volume_pb.Point:
    x, y, z = point
    return volume_pb.Point(x=x, y=y, z=z)


def _coordinates(point: volume_pb.Point) -> tuple[float, float, float]:
    return point.x, point.y, point.z


def _required_point(
    message: annotation_pb.BoundingBox | annotation_pb.Click, field: str, what: str
) -> tuple[float, float, float]:
    # A missing point would read as the image's first voxel.
    if not message.HasField(field):  # type: ignore[arg-type]  # either message has the field that it is asked for
        raise PromptError(f"{what}: {field} is missing; expected a point", violations=(Violation(field, "a point"),))
    return _coordinates(getattr(message, field))


def _frame(number: volume_pb.Frame.ValueType, what: str) -> Frame:
    named = {value: frame for frame, value in _FRAMES.items()}
    if number not in named:
        raise PromptError(
            f"{what}: the frame is missing or unknown; expected FRAME_VOXEL, FRAME_LPS or FRAME_RAS",
            violations=(Violation("frame", "FRAME_VOXEL, FRAME_LPS or FRAME_RAS"),),
        )
    return named[number]


def _triple(values: Sequence[int]) -> tuple[int, int, int]:
    x, y, z = values
    return x, y, z
