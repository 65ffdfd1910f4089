"""Convert prompts from and to messages of ``sixpoint.v1``, in the client and in the gateway."""

from __future__ import annotations

from collections.abc import Sequence

from sixpoint._typing import Index
from sixpoint.errors import InternalError, PromptError, Violation
from sixpoint.prompts import (
    MAX_CONTOUR_POINTS,
    MAX_EXTREME_POINTS,
    Box,
    Click,
    ExtremePoints,
    Frame,
    InitialMask,
    Lasso,
    Prompt,
    Scribble,
    VoxelRuns,
)
from sixpoint.protocol.converters import mask_from_message, mask_to_message
from sixpoint.v1 import annotation_service_pb2 as annotation_pb
from sixpoint.v1 import volume_pb2 as volume_pb

__all__ = ["prompt_from_message", "prompt_to_message"]

_FRAMES: dict[Frame, volume_pb.Frame.ValueType] = {
    Frame.VOXEL: volume_pb.FRAME_VOXEL,
    Frame.LPS: volume_pb.FRAME_LPS,
    Frame.RAS: volume_pb.FRAME_RAS,
}
_SIGNS: dict[int, bool] = {annotation_pb.CLICK_SIGN_POSITIVE: True, annotation_pb.CLICK_SIGN_NEGATIVE: False}


def prompt_to_message(prompt: Prompt) -> annotation_pb.Prompt:
    """Convert a prompt to a message.

    Raises:
        PromptError: A scribble or lasso of a file is not on the grid of an image yet.
    """
    match prompt:
        case InitialMask():
            return annotation_pb.Prompt(mask=mask_to_message(prompt.packed))
        case Scribble():
            return annotation_pb.Prompt(scribble=_scribble_to_message(prompt))
        case Lasso():
            return annotation_pb.Prompt(lasso=_lasso_to_message(prompt))
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
            click = annotation_pb.Click(frame=frame, point=_point(point), sign=_sign_to_message(positive))
            return annotation_pb.Prompt(click=click)


def prompt_from_message(message: annotation_pb.Prompt) -> Prompt:
    """Convert a message to a prompt.

    Raises:
        PromptError: The kind, the frame, a click's sign or a point is missing, or a number is not finite; its paths
            are those of the message's fields.
    """
    kind = message.WhichOneof("kind")
    if kind is None:
        kinds = ", ".join(field.name for field in annotation_pb.Prompt.DESCRIPTOR.fields)
        raise PromptError(
            "unknown kind of prompt; expected extreme points, a box, a mask, a click, a scribble or a lasso",
            violations=(Violation("", f"one of {kinds}"),),
        )
    try:
        return _prompt_of_kind(message)
    except PromptError as error:
        raise error.under(kind) from None


def _prompt_of_kind(message: annotation_pb.Prompt) -> Prompt:
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
            positive = _sign(click.sign, "click")
            return Click(_required_point(click, "point", "click"), positive, _frame(click.frame, "click"))
        case "mask":
            try:
                return InitialMask(mask_from_message(message.mask))
            except InternalError as error:
                raise PromptError(f"mask: {error.message}", violations=(Violation("box", "two corners"),)) from error
        case "scribble":
            return _scribble_from_message(message.scribble)
        case _:
            return _lasso_from_message(message.lasso)


def _scribble_to_message(scribble: Scribble) -> annotation_pb.Scribble:
    if scribble.grid is not None:
        raise _not_placed("scribble")
    message = annotation_pb.Scribble(sign=_sign_to_message(scribble.positive))
    if scribble.runs is not None:
        message.voxels.CopyFrom(_runs_to_message(scribble.runs))
    else:
        message.frame = _FRAMES[scribble.frame]
        message.points.extend(map(_point, scribble.points))
    return message


def _scribble_from_message(message: annotation_pb.Scribble) -> Scribble:
    positive = _sign(message.sign, "scribble")
    if not message.points:
        return Scribble(_runs(message.voxels, "scribble"), positive)
    if message.HasField("voxels"):
        raise PromptError(
            "scribble: expected voxels or points, got both", violations=(Violation("points", "or voxels"),)
        )
    return Scribble(_points(message.points, "scribble"), positive, _frame(message.frame, "scribble"))


def _not_placed(what: str) -> PromptError:
    return PromptError(f"{what}: it is not on the grid of an image yet; expected {what}.on_grid(geometry)")


def _lasso_to_message(lasso: Lasso) -> annotation_pb.Lasso:
    if lasso.grid is not None:
        raise _not_placed("lasso")
    message = annotation_pb.Lasso(
        sign=_sign_to_message(lasso.positive), axis=0 if lasso.axis is None else lasso.axis + 1
    )
    if lasso.filled is not None:
        message.filled.CopyFrom(_runs_to_message(lasso.filled))
    else:
        message.frame = _FRAMES[lasso.frame]
        message.points.extend(map(_point, lasso.points))
    if lasso.extent is not None:
        message.extent.lower.extend(lasso.extent[0])
        message.extent.upper.extend(lasso.extent[1])
    return message


def _lasso_from_message(message: annotation_pb.Lasso) -> Lasso:
    positive, extent = _sign(message.sign, "lasso"), None
    if message.HasField("extent"):
        if len(message.extent.lower) != 3 or len(message.extent.upper) != 3:
            raise PromptError(
                "lasso: its extent needs two corners of three numbers", violations=(Violation("extent", "two corners"),)
            )
        extent = _triple(message.extent.lower), _triple(message.extent.upper)
    if not 0 <= message.axis <= 3:
        raise PromptError(
            f"lasso: axis {message.axis}; expected 1 for x, 2 for y, 3 for z, or 0",
            violations=(Violation("axis", "0 to 3"),),
        )
    axis = message.axis - 1 if message.axis else None
    if message.HasField("filled"):
        if message.points:
            raise PromptError(
                "lasso: expected points or the filled form, got both", violations=(Violation("filled", "or points"),)
            )
        return Lasso(_runs(message.filled, "lasso"), positive, axis=axis, extent=extent)
    points = _points(message.points, "lasso")
    return Lasso(points, positive, _frame(message.frame, "lasso"), axis=axis, extent=extent)


def _points(points: Sequence[volume_pb.Point], what: str) -> list[tuple[float, float, float]]:
    if len(points) > MAX_CONTOUR_POINTS:
        # Checked before reading, as for extreme points.
        raise PromptError(
            f"{what}: expected at most {MAX_CONTOUR_POINTS} points, got {len(points)}",
            violations=(Violation("points", f"at most {MAX_CONTOUR_POINTS} points"),),
        )
    return [_coordinates(point) for point in points]


def _runs_to_message(runs: VoxelRuns) -> annotation_pb.VoxelRuns:
    return annotation_pb.VoxelRuns(runs=runs.data, voxel_count=runs.voxel_count)


def _runs(message: annotation_pb.VoxelRuns, what: str) -> VoxelRuns:
    """The voxels of a message, still packed."""
    runs = VoxelRuns(message.runs, message.voxel_count)
    runs.check(what=what)
    return runs


def _sign_to_message(positive: bool) -> annotation_pb.ClickSign.ValueType:
    return annotation_pb.CLICK_SIGN_POSITIVE if positive else annotation_pb.CLICK_SIGN_NEGATIVE


def _sign(number: annotation_pb.ClickSign.ValueType, what: str) -> bool:
    if number not in _SIGNS:
        raise PromptError(
            f"{what}: the sign is missing or unknown; expected CLICK_SIGN_POSITIVE or CLICK_SIGN_NEGATIVE",
            violations=(Violation("sign", "CLICK_SIGN_POSITIVE or CLICK_SIGN_NEGATIVE"),),
        )
    return _SIGNS[number]


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


def _triple(values: Sequence[int]) -> Index:
    x, y, z = values
    return x, y, z
