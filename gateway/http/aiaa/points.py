"""The points that AIAA's clients send, in any form that one of them ever had, as prompts of ours."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence

from gateway.http.windows.beginning import can_begin_at
from gateway.http.windows.points import ClientPoints, point_list
from sixpoint._typing import Size
from sixpoint.errors import PromptError, TaskNotSupported, Violation
from sixpoint.errors.shortening import quoted
from sixpoint.model_spec import ModelSpec, PromptKind
from sixpoint.prompts import Box, Click, ExtremePoints, Point, Prompt

__all__ = ["inside_cut", "one_slice", "plan_boundary", "plan_clicks", "read_boundary", "read_clicks"]

_MIN_POINTS = 6


def read_boundary(params: Mapping[str, object]) -> tuple[Point, ...]:
    """Read the points on the boundary of an object, voxel indices (x, y, z).

    Raises:
        PromptError: They are no points, or fewer than six.
    """
    points = _points(params, "points")
    if len(points) < _MIN_POINTS:
        raise PromptError(
            f"the call has {len(points)} points; set six on the object's extremes (left, right, front, back, top, "
            "bottom), more if you like",
            violations=(Violation("params.points", "at least 6 points"),),
        )
    return points


def inside_cut(points: Sequence[Point], size: Size) -> tuple[Point, ...]:
    """Move points that lie one voxel behind the end of the image onto its last voxel.

    Clients cut the image without the last voxel of their margin, so that a point on its last slice lies there.

    Args:
        points: Points of the client, as voxel indices (x, y, z).
        size: Size (x, y, z) of the image.
    """

    def inside(point: Point) -> Point:
        x, y, z = (end - 1 if at == end else at for at, end in zip(point, size, strict=True))
        return x, y, z

    return tuple(map(inside, points))


def plan_boundary(points: Sequence[Point], *, spec: ModelSpec, model: str) -> list[Prompt]:
    """Return the prompt that points on the boundary of an object stand for.

    Args:
        points: Six or more points.
        spec: Spec of the model.
        model: Name of the model.

    Raises:
        TaskNotSupported: The model cannot begin an object with them.
    """
    if PromptKind.EXTREME_POINTS in spec.prompts:
        return [ExtremePoints(list(points))]
    if PromptKind.BOX in spec.prompts:
        return [Box(_corner(points, min), _corner(points, max))]
    raise _not_supported(spec, model, "points on the boundary of an object (dextr3d)")


def read_clicks(params: Mapping[str, object], *, spec: ModelSpec) -> ClientPoints:
    """Read the clicks of an object, all of which come with each call.

    ``current_point`` is one of them, and ``spatial_size`` is the model's own.

    Args:
        params: Parameters of the call.
        spec: Spec of the model.

    Raises:
        PromptError: They are no points, or none is in the object.
    """
    points = ClientPoints(spec.labels[0], _points(params, "foreground"), _points(params, "background"))
    if not points.foreground:
        raise PromptError(
            "the call has no points in the object; set one on it (params.foreground)",
            violations=(Violation("params.foreground", "at least 1 point"),),
        )
    return points


def one_slice(points: ClientPoints) -> int:
    """Return the number of the slice on which all clicks of an object lie.

    Raises:
        PromptError: They lie on several slices.
    """
    numbers = sorted({int(z) for _, _, z in (*points.foreground, *points.background)})
    if len(numbers) > 1:
        raise PromptError(
            f"the points lie on {len(numbers)} slices, and this model is for one slice: send the points of one slice, "
            "with the same third number, or choose the model for volumes (deepgrow_3d)",
            violations=(Violation("params.foreground", "points of one slice"),),
        )
    return numbers[0]


def plan_clicks(points: ClientPoints, *, spec: ModelSpec, model: str) -> list[Click]:
    """Return the clicks of an object.

    Args:
        points: Points of the object.
        spec: Spec of the model.
        model: Name of the model.

    Raises:
        TaskNotSupported: The model takes no clicks.
    """
    if not can_begin_at(spec):
        raise _not_supported(spec, model, "clicks (deepgrow)")
    return [Click(point) for point in points.foreground] + [Click(point, False) for point in points.background]


def _not_supported(spec: ModelSpec, model: str, what: str) -> TaskNotSupported:
    kinds = ", ".join(spec.prompts) or "none"
    return TaskNotSupported(
        f"model {model!r} takes no {what}; it takes: {kinds}. /v1/models says which call is for which model"
    )


def _points(params: Mapping[str, object], name: str) -> tuple[Point, ...]:
    value = params.get(name)
    if isinstance(value, str):
        # So sent every client before 2021, those bundled with MITK among them.
        try:
            value = json.loads(value) if value.strip() else []
        except (ValueError, RecursionError):
            raise PromptError(
                f"params.{quoted(name)} is a text that is no JSON; expected a list of [x, y, z]"
            ) from None
    if isinstance(value, Sequence) and value and all(isinstance(each, int | float) for each in value):
        value = [value]
    return tuple(_rounded(point, name) for point in point_list({name: value}, name))


def _rounded(point: Point, name: str) -> Point:
    if not all(map(math.isfinite, point)):
        raise PromptError(f"params.{quoted(name)} has a number that is not finite; expected voxel indices [x, y, z]")
    x, y, z = (float(math.floor(each + 0.5)) for each in point)
    return x, y, z


def _corner(points: Sequence[Point], choose: Callable[[Iterable[float]], float]) -> Point:
    x, y, z = (choose(axis) for axis in zip(*points, strict=True))
    return x, y, z
