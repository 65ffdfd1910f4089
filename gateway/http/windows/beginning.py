"""Begin an object with one point, where a model needs more than that.

A point says nothing of the object's size, so that it is estimated. To ask the network once more, with the box of its
first answer, changed the mean Dice of 43 labelled structures by 0.003; to choose among answers for several sizes by how
they fill their boxes made it worse.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from sixpoint._typing import Index, Points
from sixpoint.geometry import Geometry
from sixpoint.model_spec import ModelSpec, PromptKind
from sixpoint.prompts import Box, Click, ExtremePoints, Lasso, Point, Prompt, Scribble

__all__ = ["begin_around", "begin_at", "box_prompt", "can_begin_at", "cube_around", "take_click", "take_scribble"]

# Of 15 to 150 mm, the edge of a cube with the best Dice over the labelled structures of several images.
_EDGE_MM = 60.0
_MIN_EDGE_VOXELS = 16
# An object rarely fills an image; one of a small organ was cropped round it.
_IMAGE_FRACTION = 0.5

_Corners = tuple[Index, Index]


def begin_at(click: Click, geometry: Geometry, spec: ModelSpec) -> Sequence[Prompt]:
    """Return the prompts that begin an object of which one voxel is known: a cube round it, as far as the image goes.

    Args:
        click: Click on the object, in voxels.
        geometry: Geometry of the image.
        spec: Spec of the model: one that takes no boxes gets the middles of the faces as extreme points.

    Returns:
        The prompts; empty if the click alone begins it, or is none that can.
    """
    inside = all(0 <= at < count for at, count in zip(click.point, geometry.size, strict=True))
    if spec.begun_by_clicks or not inside or not click.positive:
        return []
    return [box_prompt(*cube_around(click.point, geometry), spec)]


def begin_around(points: Sequence[Point], geometry: Geometry, spec: ModelSpec) -> Sequence[Prompt]:
    """Return the prompts that begin an object of which several voxels are known.

    It is a box: a cube round the first voxel, joined with one round each that lies outside of what there is so far.

    Of six organs of two images, all points at each call, the mean Dice after six clicks rose from 0.65 to 0.79; one of
    them, a stomach, fell from 0.79 to 0.55.

    Args:
        points: Points in the object, voxels (x, y, z), in the order in which they were set.
        geometry: Geometry of the image.
        spec: Spec of the model.

    Returns:
        The prompts; empty if the first click alone begins it, or is none that can.
    """
    if not points or not begin_at(Click(points[0]), geometry, spec):
        return []
    extent = cube_around(points[0], geometry)
    for point in points[1:]:
        if _join(extent, _corners(np.array([point]))) != extent and begin_at(Click(point), geometry, spec):
            extent = _join(extent, cube_around(point, geometry))
    return [box_prompt(*extent, spec)]


def take_click(click: Click, earlier: Sequence[Prompt], geometry: Geometry, spec: ModelSpec) -> list[Prompt]:
    """Return the prompts of the step that takes a click: it alone, unless it begins the object, or begins it anew.

    A positive click outside of what an object began with shows that it is larger. It begins anew with the box round
    that and a cube at the click: over 28 structures, the mean Dice after six clicks rose from 0.61 to 0.72. A cube of
    half the edge helped less.

    Args:
        click: The click, in voxels.
        earlier: Prompts of the object so far, in order; only boxes and extreme points begin it.
        geometry: Geometry of the image.
        spec: Spec of the model.
    """
    if not begin_at(click, geometry, spec):
        return [click]
    voxel = _corners(np.array([click.point]))
    return _take(click, voxel, cube_around(click.point, geometry), earlier, geometry, spec)


def take_scribble(scribble: Scribble, earlier: Sequence[Prompt], geometry: Geometry, spec: ModelSpec) -> list[Prompt]:
    """Return the prompts of the step that takes a scribble, as :func:`take_click` does of a click.

    Args:
        scribble: The scribble; one that is negative begins nothing.
        earlier: Prompts of the object so far, in order.
        geometry: Geometry of the image.
        spec: Spec of the model.

    Raises:
        PromptError: The scribble exceeds the image.
    """
    drawn = _corners(scribble.to_index(geometry))
    if not scribble.positive or spec.begun_by_clicks:
        return [scribble]
    (x0, y0, z0), (x1, y1, z1) = drawn
    cube = cube_around(((x0 + x1) / 2, (y0 + y1) / 2, (z0 + z1) / 2), geometry)
    return _take(scribble, drawn, _join(drawn, cube), earlier, geometry, spec)


def _take(
    prompt: Click | Scribble,
    inside: _Corners,
    estimate: _Corners,
    earlier: Sequence[Prompt],
    geometry: Geometry,
    spec: ModelSpec,
) -> list[Prompt]:
    """The prompts of the step that takes a positive prompt, whose voxels lie inside the object."""
    last = max((n for n, each in enumerate(earlier) if isinstance(each, Box | ExtremePoints)), default=None)
    if last is None:
        # What began by a mask or a lasso goes on.
        return [prompt] if earlier else [box_prompt(*estimate, spec), prompt]
    extent = _corners(earlier[last].to_index(geometry))
    if _join(extent, inside) == extent:
        return [prompt]
    corrections = [each for each in earlier[last + 1 :] if isinstance(each, Click | Scribble | Lasso)]
    return [box_prompt(*_join(extent, estimate), spec), *corrections, prompt]


def cube_around(point: Point, geometry: Geometry) -> tuple[Index, Index]:
    """Estimate where an object is of which one point is known.

    Args:
        point: Point in the object, in voxels (x, y, z).
        geometry: Geometry of the image.

    Returns:
        First and last voxel (x, y, z) of a cube, as far as the image goes; two voxels or more along each axis.
    """
    sides = [
        _side(at, count, max(_MIN_EDGE_VOXELS, min(_EDGE_MM / step, _IMAGE_FRACTION * count)))
        for at, count, step in zip(point, geometry.size, geometry.spacing, strict=True)
    ]
    (x0, x1), (y0, y1), (z0, z1) = sides
    return (x0, y0, z0), (x1, y1, z1)


def box_prompt(lower: Index, upper: Index, spec: ModelSpec) -> Box | ExtremePoints:
    """Return the prompt that begins an object which fills a box.

    Args:
        lower: First voxel of the box (x, y, z).
        upper: Last voxel of the box; along each axis another one than the first.
        spec: Spec of the model: one that takes no boxes gets the middles of the faces as extreme points.
    """
    if PromptKind.BOX in spec.prompts:
        return Box(lower, upper)
    (x0, y0, z0), (x1, y1, z1) = lower, upper
    x, y, z = ((low + high) / 2 for low, high in zip(lower, upper, strict=True))
    return ExtremePoints([(x0, y, z), (x1, y, z), (x, y0, z), (x, y1, z), (x, y, z0), (x, y, z1)])


def can_begin_at(spec: ModelSpec) -> bool:
    """Whether a model outlines an object from clicks alone, with what :func:`begin_at` adds to the first one."""
    kinds = set(spec.prompts)
    return PromptKind.CLICKS in kinds and (
        spec.begun_by_clicks or bool(kinds & {PromptKind.BOX, PromptKind.EXTREME_POINTS})
    )


def _side(at: float, count: int, edge: float) -> tuple[int, int]:
    """First and last voxel along an axis: two at least, since a flat box has no inside."""
    low, high = max(0, round(at - edge / 2)), min(count - 1, round(at + edge / 2))
    return (low, high) if low < high else (min(low, count - 2), min(low, count - 2) + 1)


def _corners(points: Points) -> _Corners:
    """First and last voxel of the box round points."""
    (x0, y0, z0), (x1, y1, z1) = np.rint(points.min(axis=0)), np.rint(points.max(axis=0))
    return (int(x0), int(y0), int(z0)), (int(x1), int(y1), int(z1))


def _join(first: _Corners, second: _Corners) -> _Corners:
    low = [min(pair) for pair in zip(first[0], second[0], strict=True)]
    high = [max(pair) for pair in zip(first[1], second[1], strict=True)]
    return (low[0], low[1], low[2]), (high[0], high[1], high[2])
