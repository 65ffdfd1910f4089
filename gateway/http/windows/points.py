"""The points that clients send, all of an object's at each call, as prompts of ours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sixpoint.errors import PromptError, TaskNotSupported, Violation
from sixpoint.errors.shortening import quoted
from sixpoint.model_spec import ModelSpec, PromptKind
from sixpoint.prompts import Box, Click, ExtremePoints, Point, Prompt

__all__ = ["EXTREME_COUNT", "ClientPoints", "plan_prompts", "point_list", "read_point"]

EXTREME_COUNT = 6
"""So many positive points begin an object, for models that take extreme points."""
_MAX_POINTS = 1000


@dataclass(frozen=True)
class ClientPoints:
    """The points of one object that a client shows, all of them at each call.

    Attributes:
        label: Name of the object.
        foreground: Points in it, voxel indices (x, y, z), in the order in which they were set.
        background: Points outside it.
        box: Two corners of a box round it, voxel indices (x, y, z); None without one.
    """

    label: str
    foreground: tuple[Point, ...]
    background: tuple[Point, ...]
    box: tuple[Point, Point] | None = None


def plan_prompts(points: ClientPoints, *, spec: ModelSpec, model: str) -> list[Prompt]:
    """Return the prompts that the points stand for, in the order in which they are carried out.

    The first six points of the foreground are extreme points where the model takes them; all others are clicks.

    Args:
        points: Points of the client.
        spec: Spec of the model.
        model: Name of the model.

    Returns:
        The prompts; empty while extreme points are missing.

    Raises:
        PromptError: There are no points.
        TaskNotSupported: The model takes none of these prompts.
    """
    if not (points.foreground or points.background or points.box):
        raise PromptError(
            "the call has no points; set some on the object", violations=(Violation("params.foreground", "points"),)
        )
    foreground, begin = list(points.foreground), list[Prompt]()
    if not spec.begun_by_clicks:
        if points.box and PromptKind.BOX in spec.prompts:
            begin = [Box(*points.box)]
        elif PromptKind.EXTREME_POINTS in spec.prompts:
            if len(foreground) < EXTREME_COUNT:
                return []
            begin, foreground = [ExtremePoints(foreground[:EXTREME_COUNT])], foreground[EXTREME_COUNT:]
        else:
            kinds = ", ".join(spec.prompts) or "none"
            raise TaskNotSupported(f"model {model!r} cannot begin an object by points here; it takes: {kinds}")
    clicks = [Click(point) for point in foreground] + [Click(point, False) for point in points.background]
    return [*begin, *clicks]


def point_list(params: Mapping[str, object], name: str) -> tuple[Point, ...]:
    """Read a list of points.

    Args:
        params: Parameters of a call.
        name: Name of the list among them.

    Raises:
        PromptError: It is no list of three numbers each, or too long.
    """
    values = params.get(name) or []
    if not isinstance(values, Sequence) or isinstance(values, str):
        raise _no_points(name)
    if len(values) > _MAX_POINTS:
        raise PromptError(f"{quoted(name)} has {len(values)} points; expected at most {_MAX_POINTS}")
    return tuple(read_point(value, name) for value in values)


def read_point(value: object, name: str) -> Point:
    """Read three numbers.

    Raises:
        PromptError: It is something else.
    """
    if not isinstance(value, Sequence) or isinstance(value, str) or len(value) != 3:
        raise _no_points(name)
    if not all(isinstance(number, int | float) and not isinstance(number, bool) for number in value):
        raise _no_points(name)
    try:
        x, y, z = map(float, value)
    except OverflowError:
        raise _no_points(name) from None
    return x, y, z


def _no_points(name: str) -> PromptError:
    return PromptError(f"params.{quoted(name)} has no points; expected a list of [x, y, z], three numbers each")
