"""Scribbles of MONAI Label's clients: a label map with the object as it is shown, and what a person drew over it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from gateway.http.monai_label.overdrawn import uncover
from gateway.http.windows.beginning import box_prompt, can_begin_at, take_prompt
from sixpoint._typing import Index, Ints
from sixpoint.errors import InvalidArgument, PromptError
from sixpoint.errors.shortening import quoted
from sixpoint.geometry import Geometry
from sixpoint.mask import PackedMask, voxels_of
from sixpoint.model_spec import ModelSpec
from sixpoint.prompts import InitialMask, Point, Prompt, Scribble
from sixpoint.prompts.voxel_runs import check_voxel_count

__all__ = ["SCRIBBLES_SUFFIX", "plan_scribbles", "selected_label", "takes_scribbles"]

SCRIBBLES_SUFFIX = "_scribbles"
"""Clients have models of a kind of their own for scribbles: this is added to the name of ours."""

_FOREGROUND, _BACKGROUND = "foreground_scribbles", "background_scribbles"


def takes_scribbles(spec: ModelSpec) -> bool:
    """Whether a model corrects an object by scribbles."""
    return can_begin_at(spec)


def selected_label(params: Mapping[str, object]) -> str:
    """Return the name of the object that a person draws on.

    Raises:
        InvalidArgument: The call does not say it.
    """
    name = params.get("selected_label_name") or params.get("label")
    if not isinstance(name, str) or name in (_FOREGROUND, _BACKGROUND):
        raise InvalidArgument(
            "params.selected_label_name names no object: choose the segment that the scribbles are for"
        )
    return name


def plan_scribbles(
    masks: Mapping[str, PackedMask],
    label: str,
    *,
    box: tuple[Point, Point] | None,
    geometry: Geometry,
    spec: ModelSpec,
) -> list[Prompt]:
    """Return the prompts that a label map with scribbles stands for, all of which are one step.

    The object begins with its mask in the label map, and what the scribbles hide of it; without one with the box, and
    without that with a cube round the scribble.

    Args:
        masks: Mask of each name in the label map.
        label: Name of the object.
        box: Two corners (x, y, z) of a box that a person placed round the object; None without one.
        geometry: Geometry of the image.
        spec: Spec of the model.

    Raises:
        PromptError: There are no scribbles, or only some of the background and no object; or one has too many voxels.
    """
    drawn = {name: _drawn(masks[name]) for name in (_FOREGROUND, _BACKGROUND) if name in masks}
    scribbles = [Scribble(voxels, name == _FOREGROUND) for name, voxels in drawn.items()]
    if not scribbles:
        raise PromptError(
            f"the label map has no scribbles; expected voxels of segments {_FOREGROUND} or {_BACKGROUND}, which "
            "params.label_info names"
        )
    if label in masks:
        return [InitialMask(uncover(masks[label], list(drawn.values()), geometry)), *scribbles]
    if box is not None:
        return [box_prompt(*_inside(box, geometry), spec), *scribbles]
    if not scribbles[0].positive:
        raise PromptError(f"{quoted(label)} has no voxels yet, and all scribbles are background: draw on the object")
    return [*take_prompt(scribbles[0], [], geometry, spec), *scribbles[1:]]


def _drawn(mask: PackedMask) -> Ints:
    """Voxels (x, y, z) of a scribble, shape [n, 3]; only of one that has not too many."""
    check_voxel_count(mask.voxel_count, what="scribble")
    voxels: Ints = np.argwhere(voxels_of(mask))[:, ::-1].astype(np.int32)
    return voxels + np.array(mask.lower, np.int32)


def _inside(box: Sequence[Point], geometry: Geometry) -> tuple[Index, Index]:
    """First and last voxel of a box, as far as the image goes: viewers let it reach beyond."""
    corners = np.rint(np.array(box, float))
    last = np.array(geometry.size) - 1
    low, high = (np.clip(each, 0, last).astype(int).tolist() for each in (corners.min(axis=0), corners.max(axis=0)))
    if any(a >= b for a, b in zip(low, high, strict=True)):
        raise PromptError("params.roi is flat, or lies outside the image; place it round the object")
    return (low[0], low[1], low[2]), (high[0], high[1], high[2])
