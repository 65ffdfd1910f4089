"""Messages of ``sixpoint.v1`` from and to sixpoint's own types; used on both sides of the wire."""

from __future__ import annotations

from collections.abc import Sequence

from google.protobuf.duration_pb2 import Duration

from sixpoint.errors import InternalError, PromptError, Violation, VolumeError
from sixpoint.geometry import Geometry
from sixpoint.mask import PackedMask, Timings
from sixpoint.model_spec import ModelSpec, PromptKind, Task
from sixpoint.prompts import Box, Click, ExtremePoints, Frame, InitialMask, Prompt
from sixpoint.v1 import annotation_service_pb2 as annotation
from sixpoint.v1 import model_service_pb2 as models
from sixpoint.v1 import volume_pb2 as volumes

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
]

_FRAMES: dict[Frame, volumes.Frame.ValueType] = {
    Frame.VOXEL: volumes.FRAME_VOXEL,
    Frame.LPS: volumes.FRAME_LPS,
    Frame.RAS: volumes.FRAME_RAS,
}
_TASKS: dict[Task, models.Task.ValueType] = {
    Task.ANNOTATION: models.TASK_ANNOTATION,
    Task.SEGMENTATION: models.TASK_SEGMENTATION,
}
_KINDS: dict[PromptKind, models.PromptKind.ValueType] = {
    PromptKind.EXTREME_POINTS: models.PROMPT_KIND_EXTREME_POINTS,
    PromptKind.BOX: models.PROMPT_KIND_BOX,
    PromptKind.CLICKS: models.PROMPT_KIND_CLICKS,
    PromptKind.MASK: models.PROMPT_KIND_MASK,
}
_SIGNS: dict[int, bool] = {annotation.CLICK_SIGN_POSITIVE: True, annotation.CLICK_SIGN_NEGATIVE: False}
_PHASES = ("queue", "preprocess", "inference", "postprocess", "encode", "store")


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


def prompt_to_message(prompt: Prompt) -> annotation.Prompt:
    """A prompt as a message."""
    if isinstance(prompt, InitialMask):
        return annotation.Prompt(mask=mask_to_message(prompt.packed))
    frame = _FRAMES[Frame(prompt.frame)]
    match prompt:
        case ExtremePoints(points):
            return annotation.Prompt(extreme_points=annotation.ExtremePoints(frame=frame, points=map(_point, points)))
        case Box(lower, upper):
            return annotation.Prompt(
                box=annotation.BoundingBox(frame=frame, lower=_point(lower), upper=_point(upper)),
            )
        case Click(point, positive):
            sign = annotation.CLICK_SIGN_POSITIVE if positive else annotation.CLICK_SIGN_NEGATIVE
            return annotation.Prompt(click=annotation.Click(frame=frame, point=_point(point), sign=sign))


def prompt_from_message(message: annotation.Prompt) -> Prompt:
    """A prompt from a message.

    Raises:
        PromptError: When it is of no kind, its frame or a click's sign is not named, a point is missing, or a number is
            not finite.
    """
    match message.WhichOneof("kind"):
        case "extreme_points":
            points = message.extreme_points
            return ExtremePoints(
                [_coordinates(point) for point in points.points], _frame(points.frame, "extreme points")
            )
        case "box":
            box = message.box
            lower, upper = _given(box, "lower", "box"), _given(box, "upper", "box")
            return Box(lower, upper, _frame(box.frame, "box"))
        case "click":
            click = message.click
            if click.sign not in _SIGNS:
                raise PromptError(
                    "click: the sign is missing or unknown; expected CLICK_SIGN_POSITIVE or CLICK_SIGN_NEGATIVE",
                    violations=(Violation("sign", "CLICK_SIGN_POSITIVE or CLICK_SIGN_NEGATIVE"),),
                )
            return Click(_given(click, "point", "click"), _SIGNS[click.sign], _frame(click.frame, "click"))
        case "mask":
            try:
                return InitialMask(mask_from_message(message.mask))
            except InternalError as error:
                raise PromptError(f"mask: {error.message}", violations=(Violation("box", "two corners"),)) from error
    raise PromptError(
        "a prompt of no known kind; expected extreme points, a box, a mask or a click",
        violations=(Violation("kind", "extreme_points, box, mask or click"),),
    )


def mask_to_message(packed: PackedMask) -> annotation.MaskPatch:
    """A packed mask as a message."""
    return annotation.MaskPatch(
        box=volumes.Box(lower=packed.lower, upper=packed.upper),
        bits=packed.bits,
        sha256=packed.sha256,
        voxel_count=packed.voxel_count,
        base_revision=packed.base_revision,
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
        base_revision=message.base_revision,
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


def _point(point: tuple[float, float, float]) -> volumes.Point:
    x, y, z = point
    return volumes.Point(x=x, y=y, z=z)


def _coordinates(point: volumes.Point) -> tuple[float, float, float]:
    return point.x, point.y, point.z


def _given(message: annotation.BoundingBox | annotation.Click, field: str, what: str) -> tuple[float, float, float]:
    # A point that was not sent would read as the image's first voxel.
    if not message.HasField(field):  # type: ignore[arg-type]  # either message has the field that it is asked for
        raise PromptError(f"{what}: {field} is missing; expected a point", violations=(Violation(field, "a point"),))
    return _coordinates(getattr(message, field))


def _frame(number: volumes.Frame.ValueType, what: str) -> Frame:
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
