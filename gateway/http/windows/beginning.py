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
from sixpoint.mask import PackedMask, voxels_of
from sixpoint.model_spec import ModelSpec, PromptKind
from sixpoint.prompts import Box, Click, ExtremePoints, Lasso, Point, Prompt, Scribble

__all__ = ["begin_around", "begin_at", "box_prompt", "can_begin_at", "cube_around", "take_prompt"]

# Of 15 to 150 mm, the edge of a cube with the best Dice over the labelled structures of several images.
_EDGE_MM = 60.0
_MIN_EDGE_VOXELS = 16
# An object rarely fills an image; one of a small organ was cropped round it.
_IMAGE_FRACTION = 0.5
# How far an object reaches beyond a click outside of it, in distances of that click: 1, 2 and 3 gave mean Dices of
# 0.86, 0.87 and 0.88 after six clicks; the whole cube gave 0.87, and less after the first ones.
_REACH, _MIN_REACH_MM = 3.0, 5.0

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
    """Return the prompts that begin an object of which several voxels are known, but no mask yet.

    It is a box: a cube round the first voxel, joined with one round each that lies outside of what there is so far.

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


def take_prompt(
    prompt: Click | Scribble,
    earlier: Sequence[Prompt],
    geometry: Geometry,
    spec: ModelSpec,
    *,
    mask: PackedMask | None = None,
) -> list[Prompt]:
    """Return the prompts of the step that takes a prompt: it alone, unless it begins the object, or begins it anew.

    A positive click outside of what an object began with shows that it is larger, and begins it anew: with extreme
    points, those of the mask so far, or of what surrounds the click, where that reaches farther. Of six organs of a CT,
    each corrected in the middle of its largest error, the mean Dice after six clicks was 0.89. It was 0.72 where the
    click only corrected, and 0.77 where the object began anew with a box round all of it: a box says that the object
    fills it. Of 50 structures of eight images it was 0.67, and 0.66 with the box; two vertebrae fell, from 0.57 to
    0.53, and from 0.78 to 0.71. It takes memory for the mask's box, and belongs on a thread.

    Args:
        prompt: The click or scribble; a negative one begins nothing.
        earlier: Prompts of the object so far, in order; only boxes and extreme points begin it.
        geometry: Geometry of the image.
        spec: Spec of the model.
        mask: Mask of the object so far; without one, and for models without extreme points, a box begins it anew.

    Raises:
        PromptError: A scribble exceeds the image.
    """
    if isinstance(prompt, Click):
        if not begin_at(prompt, geometry, spec):
            return [prompt]
        drawn = _corners(np.array([prompt.point]))
    else:
        drawn = _corners(prompt.to_index(geometry))
        if not prompt.positive or spec.begun_by_clicks:
            return [prompt]
    middle = prompt.point if isinstance(prompt, Click) else _middle(drawn)
    last = max((n for n, each in enumerate(earlier) if isinstance(each, Box | ExtremePoints)), default=None)
    if last is None:
        # What began by a mask or a lasso goes on.
        cube = _join(drawn, cube_around(middle, geometry))
        return [prompt] if earlier else [box_prompt(*cube, spec), prompt]
    extent = _corners(earlier[last].to_index(geometry))
    if _join(extent, drawn) == extent:
        return [prompt]
    if mask and mask.voxel_count and PromptKind.EXTREME_POINTS in spec.prompts:
        begin: Prompt = _reaching(mask, middle, _join(drawn, _reach_of(middle, drawn, extent, geometry)))
    else:
        begin = box_prompt(*_join(extent, _join(drawn, cube_around(middle, geometry))), spec)
    corrections = [each for each in earlier[last + 1 :] if isinstance(each, Click | Scribble | Lasso)]
    return [begin, *corrections, prompt]


def _reach_of(middle: Point, drawn: _Corners, extent: _Corners, geometry: Geometry) -> _Corners:
    """What surrounds a prompt outside of an object's extent: the farther outside, the more, up to the usual cube."""
    outside = max(
        max(a - low, high - b, 0) * step
        for a, b, low, high, step in zip(*extent, *drawn, geometry.spacing, strict=True)
    )
    reach = min(_EDGE_MM / 2, max(_MIN_REACH_MM, _REACH * outside))
    sides = [
        _side(at, count, 2 * reach / step)
        for at, count, step in zip(middle, geometry.size, geometry.spacing, strict=True)
    ]
    (x0, x1), (y0, y1), (z0, z1) = sides
    return (x0, y0, z0), (x1, y1, z1)


def _reaching(mask: PackedMask, middle: Point, around: _Corners) -> ExtremePoints:
    """The extreme points of a mask, or a point, moved to the face of the box around it, where that reaches farther."""
    points = list[Point]()
    extremes = ExtremePoints.of_mask(voxels_of(mask)).points
    for axis in range(3):
        for end, face in enumerate((around[0][axis], around[1][axis])):
            x, y, z = (a + b for a, b in zip(extremes[2 * axis + end], mask.lower, strict=True))
            reached = (x, y, z)[axis]
            if face > reached if end else face < reached:
                moved = list(middle)
                moved[axis] = face
                x, y, z = moved
            points.append((x, y, z))
    return ExtremePoints(points)


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
    x, y, z = _middle((lower, upper))
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


def _middle(corners: _Corners) -> Point:
    x, y, z = ((low + high) / 2 for low, high in zip(*corners, strict=True))
    return x, y, z


def _join(first: _Corners, second: _Corners) -> _Corners:
    low = [min(pair) for pair in zip(first[0], second[0], strict=True)]
    high = [max(pair) for pair in zip(first[1], second[1], strict=True)]
    return (low[0], low[1], low[2]), (high[0], high[1], high[2])
