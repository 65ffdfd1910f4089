"""The points that MONAI Label's clients send, as prompts of ours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sixpoint.errors import InvalidArgument, PromptError, TaskNotSupported, Violation
from sixpoint.errors.shortening import quoted
from sixpoint.model_spec import ModelSpec, PromptKind
from sixpoint.prompts import Box, Click, ExtremePoints, Point, Prompt

__all__ = ["EXTREME_COUNT", "ClientPoints", "plan_prompts", "read_points"]

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


def read_points(params: Mapping[str, object], *, spec: ModelSpec) -> ClientPoints:
    """Read the points of a call, in any of the forms that clients send.

    - ``foreground`` and ``background``, with ``label`` (3D Slicer, MITK);
    - one list for each label, beside ``background`` and ``label`` (DeepEdit);
    - ``points`` and ``point_labels``, 1 in the object and 0 outside (VISTA3D).

    Args:
        params: Parameters of the call.
        spec: Spec of the model.

    Raises:
        PromptError: Points are no lists of three numbers, or of several objects at once.
    """
    label = params.get("label") or ""
    if not isinstance(label, str):
        raise InvalidArgument("params.label is no text; expected the name of the object")
    if "points" in params:
        foreground, background = _by_sign(params)
    elif "foreground" in params:
        foreground, background = _points(params, "foreground"), _points(params, "background")
    else:
        lists = {name: _points(params, name) for name in dict.fromkeys((*spec.labels, label)) if name in params}
        filled = [name for name, points in lists.items() if points]
        if label not in lists and len(filled) > 1:
            raise PromptError(
                f"the call has points of {len(filled)} objects and does not say which one is meant: set params.label"
            )
        label = label or (filled[0] if filled else "")
        foreground, background = lists.get(label, ()), _points(params, "background")
    return ClientPoints(label or spec.labels[0], foreground, background, _box(params))


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


def _by_sign(params: Mapping[str, object]) -> tuple[tuple[Point, ...], tuple[Point, ...]]:
    points, signs = _points(params, "points"), params.get("point_labels")
    if not isinstance(signs, Sequence) or isinstance(signs, str) or len(signs) != len(points):
        raise PromptError("params.point_labels has another length than params.points; expected 1 or 0 for each point")
    pairs = list(zip(points, signs, strict=True))
    return tuple(point for point, sign in pairs if sign == 1), tuple(point for point, sign in pairs if sign == 0)


def _points(params: Mapping[str, object], name: str) -> tuple[Point, ...]:
    values = params.get(name) or []
    if not isinstance(values, Sequence) or isinstance(values, str):
        raise _no_points(name)
    if len(values) > _MAX_POINTS:
        raise PromptError(f"{quoted(name)} has {len(values)} points; expected at most {_MAX_POINTS}")
    return tuple(_point(value, name) for value in values)


def _point(value: object, name: str) -> Point:
    if not isinstance(value, Sequence) or isinstance(value, str) or len(value) != 3:
        raise _no_points(name)
    if not all(isinstance(number, int | float) and not isinstance(number, bool) for number in value):
        raise _no_points(name)
    try:
        x, y, z = map(float, value)
    except OverflowError:
        raise _no_points(name) from None
    return x, y, z


def _box(params: Mapping[str, object]) -> tuple[Point, Point] | None:
    roi = params.get("roi")
    if not roi:
        return None
    if not isinstance(roi, Sequence) or isinstance(roi, str) or len(roi) != 6:
        raise PromptError("params.roi is no box; expected six numbers: x1, x2, y1, y2, z1, z2")
    return _point([roi[0], roi[2], roi[4]], "roi"), _point([roi[1], roi[3], roi[5]], "roi")


def _no_points(name: str) -> PromptError:
    return PromptError(f"params.{quoted(name)} has no points; expected a list of [x, y, z], three numbers each")
