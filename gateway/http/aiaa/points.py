"""The points that AIAA's clients send, in any form that one of them ever had, as prompts of ours."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence

from gateway.http.windows.points import ClientPoints, point_list
from sixpoint.errors import PromptError, TaskNotSupported, Violation
from sixpoint.errors.shortening import quoted
from sixpoint.model_spec import ModelSpec, PromptKind
from sixpoint.prompts import Box, ExtremePoints, Point, Prompt

__all__ = ["boundary_points", "plan_boundary", "read_clicks"]

_MIN_POINTS = 6


def boundary_points(params: Mapping[str, object]) -> tuple[Point, ...]:
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
    kinds = ", ".join(spec.prompts) or "none"
    raise TaskNotSupported(
        f"model {model!r} takes no points on the boundary of an object (dextr3d); it takes: {kinds}. /v1/models says "
        "which call is for which model"
    )


def read_clicks(params: Mapping[str, object], *, spec: ModelSpec) -> ClientPoints:
    """Read the clicks of an object, all of which come with each call.

    ``current_point`` is one of them, and ``spatial_size`` is the model's own.

    Args:
        params: Parameters of the call.
        spec: Spec of the model.

    Raises:
        PromptError: They are no points.
    """
    return ClientPoints(spec.labels[0], _points(params, "foreground"), _points(params, "background"))


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
    return tuple(_rounded(point) for point in point_list({name: value}, name))


def _rounded(point: Point) -> Point:
    """The voxel of a point; what is no number is refused by the prompt itself."""
    x, y, z = (float(math.floor(each + 0.5)) if math.isfinite(each) else each for each in point)
    return x, y, z


def _corner(points: Sequence[Point], choose: Callable[[Iterable[float]], float]) -> Point:
    x, y, z = (choose(axis) for axis in zip(*points, strict=True))
    return x, y, z
