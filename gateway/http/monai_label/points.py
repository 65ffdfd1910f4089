"""The points that MONAI Label's clients send, as prompts of ours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from gateway.http.windows.points import ClientPoints, point_list, read_point
from sixpoint.errors import InvalidArgument, PromptError
from sixpoint.model_spec import ModelSpec
from sixpoint.prompts import Point

__all__ = ["read_box", "read_points"]


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
        foreground, background = point_list(params, "foreground"), point_list(params, "background")
    else:
        lists = {name: point_list(params, name) for name in dict.fromkeys((*spec.labels, label)) if name in params}
        filled = [name for name, points in lists.items() if points]
        if label not in lists and len(filled) > 1:
            raise PromptError(
                f"the call has points of {len(filled)} objects and does not say which one is meant: set params.label"
            )
        label = label or (filled[0] if filled else "")
        foreground, background = lists.get(label, ()), point_list(params, "background")
    return ClientPoints(label or spec.labels[0], foreground, background, read_box(params))


def _by_sign(params: Mapping[str, object]) -> tuple[tuple[Point, ...], tuple[Point, ...]]:
    points, signs = point_list(params, "points"), params.get("point_labels")
    if not isinstance(signs, Sequence) or isinstance(signs, str) or len(signs) != len(points):
        raise PromptError("params.point_labels has another length than params.points; expected 1 or 0 for each point")
    pairs = list(zip(points, signs, strict=True))
    return tuple(point for point, sign in pairs if sign == 1), tuple(point for point, sign in pairs if sign == 0)


def read_box(params: Mapping[str, object]) -> tuple[Point, Point] | None:
    """Return two corners (x, y, z) of the box in ``roi``; None without one.

    Raises:
        PromptError: It is no box.
    """
    roi = params.get("roi")
    if not roi:
        return None
    if not isinstance(roi, Sequence) or isinstance(roi, str) or len(roi) != 6:
        raise PromptError("params.roi is no box; expected six numbers: x1, x2, y1, y2, z1, z2")
    return read_point([roi[0], roi[2], roi[4]], "roi"), read_point([roi[1], roi[3], roi[5]], "roi")
