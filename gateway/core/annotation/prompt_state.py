"""Prompts in canonical voxel indices: those of one call, and those of one object so far."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from gateway.core.annotation.clicks import Clicks, check_click_count
from gateway.core.annotation.lasso_start import extent_of_lasso, with_extent
from gateway.core.annotation.object_extent import ObjectExtent, expand_mask
from gateway.core.annotation.strokes import Stroke, add_strokes, place_stroke
from sixpoint._typing import Bools, Points
from sixpoint.errors import NothingToCorrect, PromptError, PromptNotSupported, Violation
from sixpoint.geometry import Geometry
from sixpoint.model_spec import ModelSpec, PromptKind
from sixpoint.prompts import Box, Click, ExtremePoints, InitialMask, Lasso, Prompt, Scribble, prompt_path

__all__ = [
    "ObjectPrompts",
    "PromptBatch",
    "accumulate",
    "add_to_object",
    "check_prompt_kinds",
    "place_prompts",
    "read_prompts",
    "restart",
    "start_from_clicks",
    "start_from_lasso",
    "start_without_extent",
]


_KINDS: dict[type[Prompt], PromptKind] = {
    ExtremePoints: PromptKind.EXTREME_POINTS,
    Box: PromptKind.BOX,
    Click: PromptKind.CLICKS,
    InitialMask: PromptKind.MASK,
    Scribble: PromptKind.SCRIBBLES,
    Lasso: PromptKind.LASSO,
}


@dataclass(frozen=True, eq=False)
class PromptBatch:
    """The prompts of one call, as given and in canonical voxel indices.

    Attributes:
        prompts: Prompts as given.
        extent: Extent of the object that the call starts; None if it corrects the current object.
        clicks: Clicks of the call, and those that stand for its strokes; may be empty.
        strokes: Scribbles and lassos of the call.
    """

    prompts: tuple[Prompt, ...]
    extent: ObjectExtent | None
    clicks: Clicks
    strokes: tuple[Stroke, ...] = ()


@dataclass(frozen=True, eq=False)
class ObjectPrompts:
    """All prompts for one object so far, in canonical voxel indices.

    Attributes:
        extent: Extent of the object.
        clicks: All clicks on the object, and those that stand for strokes.
        new_clicks: Number of clicks, counted from the end, that the last call added.
        strokes: All scribbles and lassos on the object.
        new_strokes: Number of strokes, counted from the end, that the last call added.
    """

    extent: ObjectExtent
    clicks: Clicks
    new_clicks: int
    strokes: tuple[Stroke, ...] = ()
    new_strokes: int = 0

    @property
    def positive_new_clicks(self) -> Bools:
        """Whether each click that the last call added is positive."""
        return self.clicks.positive[len(self.clicks) - self.new_clicks :]


def read_prompts(prompts: Sequence[Prompt], *, geometry: Geometry) -> PromptBatch:
    """Check the prompts of one call, convert them to canonical voxel indices, and unpack the initial mask.

    Args:
        prompts: Prompts in the order in which they were given.
        geometry: Geometry of the image as uploaded.

    Raises:
        PromptError: When there are no prompts, one does not fit the image, or one that starts an object is not first.
    """
    batch = place_prompts(prompts, geometry=geometry)
    return batch if batch.extent is None else replace(batch, extent=expand_mask(batch.extent, geometry=geometry))


def place_prompts(prompts: Sequence[Prompt], *, geometry: Geometry) -> PromptBatch:
    """Check the prompts of one call, and convert them to canonical voxel indices.

    Of an initial mask only the box is read: a message of a kilobyte may hold a mask of a gigabyte, which is unpacked by
    :func:`expand_mask`, on a thread, once there is memory for it.

    Args:
        prompts: Prompts in the order in which they were given.
        geometry: Geometry of the image as uploaded.

    Raises:
        PromptError: When there are no prompts, one does not fit the image, or one that starts an object is not first.
    """
    if not prompts:
        raise PromptError(
            "expected at least one prompt: extreme points, a box, a mask, a click, a scribble or a lasso",
            violations=(Violation("prompts", "one or more"),),
        )
    extent: ObjectExtent | None = None
    points: list[Points] = [np.empty((0, 3))]
    positive: list[bool] = []
    strokes: tuple[Stroke, ...] = ()
    for number, prompt in enumerate(prompts):
        try:
            if isinstance(prompt, Scribble | Lasso):
                stroke = place_stroke(prompt, geometry=geometry, clicks_before=len(positive))
                strokes = add_strokes(strokes, (stroke,))
                points.append(stroke.clicks)
                positive += [stroke.positive] * len(stroke.clicks)
                continue
            index = prompt.to_index(geometry)
        except PromptError as error:
            raise error.under(prompt_path(prompt, number)) from None
        placed = geometry.orientation.index_to_canonical(index, size=geometry.size)
        if isinstance(prompt, Click):
            points.append(placed)
            positive.append(prompt.positive)
        elif number:
            raise PromptError(
                "extreme points, a box or a mask start a new object: at most one of them in a call, before any other "
                "prompt",
                violations=(Violation(prompt_path(prompt, number), "only a correction may follow another prompt"),),
            )
        else:
            # On an axis that is stored backwards, the conversion swaps the corners.
            box = np.stack([placed.min(axis=0), placed.max(axis=0)])
            extremes = placed if isinstance(prompt, ExtremePoints) else np.empty((0, 3))
            extent = ObjectExtent(box, extremes, packed_mask=prompt if isinstance(prompt, InitialMask) else None)
    clicks = Clicks(np.concatenate(points), np.array(positive, np.bool_))
    return PromptBatch(tuple(prompts), extent, clicks, strokes)


def add_to_object(
    prompts: ObjectPrompts | None, batch: PromptBatch, *, model: str, spec: ModelSpec, geometry: Geometry
) -> tuple[PromptBatch, ObjectPrompts]:
    """Check the prompts of a call against a model, and add them to those of the object.

    Args:
        prompts: Prompts for the object so far; None without an object.
        batch: Prompts of this call.
        model: Name of the model that answers.
        spec: Spec of the model.
        geometry: Geometry of the image as uploaded.

    Returns:
        The batch, with an extent if it starts an object, and all prompts for the object.

    Raises:
        PromptNotSupported: When the model does not accept a prompt's kind.
        NothingToCorrect: When there are only clicks, and no object to correct.
        ResourceExhausted: When the object would have too many clicks.
    """
    check_prompt_kinds(batch, model=model, accepted=spec.accepted_prompts)
    suffice = spec.begun_by_clicks
    batch = start_from_lasso(batch, starts=prompts is None and not suffice, geometry=geometry)
    batch = start_from_clicks(prompts, batch, model=model, clicks_suffice=suffice, geometry=geometry)
    return batch, accumulate(prompts, batch)


def check_prompt_kinds(batch: PromptBatch, *, model: str, accepted: Sequence[PromptKind]) -> None:
    """Refuse kinds of prompts that a model does not accept.

    Args:
        batch: Prompts of the call.
        model: Name of the model.
        accepted: Kinds that the model accepts.

    Raises:
        PromptNotSupported: Naming the accepted kinds.
    """
    given = dict.fromkeys(_KINDS[type(prompt)] for prompt in batch.prompts)
    refused = ", ".join(kind.value for kind in given if kind not in accepted)
    if refused:
        raise PromptNotSupported(f"model {model!r} takes {', '.join(accepted) or 'no prompts'}; not {refused}")


def start_from_clicks(
    prompts: ObjectPrompts | None, batch: PromptBatch, *, model: str, clicks_suffice: bool, geometry: Geometry
) -> PromptBatch:
    """Let the clicks of a call start an object, if there is none and the model accepts clicks alone.

    Args:
        prompts: Prompts for the object so far; None without an object.
        batch: Prompts of this call.
        model: Name of the model that answers.
        clicks_suffice: Whether the model can start an object from clicks alone.
        geometry: Geometry of the image as uploaded.

    Returns:
        The batch, with the image as extent if its clicks start an object.

    Raises:
        NothingToCorrect: When only negative clicks would start the object, or when a click started it and this model
            needs more.
    """
    if batch.extent is not None or not len(batch.clicks):
        return batch
    if prompts is not None:
        if prompts.extent.whole_image and not clicks_suffice:
            raise NothingToCorrect(
                f"a click started this object, and model {model!r} needs to know how far the object reaches; start it "
                "anew with extreme points, a box or a mask"
            )
        return batch
    if not clicks_suffice:
        return batch
    if not batch.clicks.positive.any():
        raise NothingToCorrect("there is no mask that negative clicks could correct; start with a positive click")
    return start_without_extent(batch, geometry=geometry)


def start_from_lasso(batch: PromptBatch, *, starts: bool, geometry: Geometry) -> PromptBatch:
    """Let a positive lasso that comes first start an object; any other lasso is a correction.

    Args:
        batch: Prompts of a call.
        starts: Whether there is no object yet, and the model needs to know how far it reaches.
        geometry: Geometry of the image as uploaded.

    Returns:
        The batch, whose lasso says the extent exactly if it starts an object.
    """
    extent, prompts = batch.extent, [*batch.prompts]
    for number, prompt in enumerate(prompts):
        if isinstance(prompt, Lasso):
            if number == 0 and starts and prompt.positive:
                prompts[0] = start = with_extent(prompt, batch.strokes[0].voxels, geometry=geometry)
                extent = extent_of_lasso(start, batch.strokes[0].voxels, geometry=geometry)
            elif prompt.extent is not None:
                prompts[number] = prompt.with_extent(None)
    return replace(batch, prompts=tuple(prompts), extent=extent)


def restart(batch: PromptBatch, *, geometry: Geometry) -> PromptBatch:
    """Let the prompts of a stored step, which started an object, start it again."""
    if batch.extent is not None:
        return batch
    first = batch.prompts[0]
    if isinstance(first, Lasso) and first.extent is not None:
        return replace(batch, extent=extent_of_lasso(first, batch.strokes[0].voxels, geometry=geometry))
    # The model takes clicks alone: they started the object.
    return start_without_extent(batch, geometry=geometry)


def start_without_extent(batch: PromptBatch, *, geometry: Geometry) -> PromptBatch:
    """Let the clicks of a call start an object whose extent is unknown: the whole image."""
    upper = np.array(geometry.canonical().size, np.float64) - 1
    extent = ObjectExtent(np.stack([np.zeros(3), upper]), np.empty((0, 3)), whole_image=True)
    return replace(batch, extent=extent)


def accumulate(prompts: ObjectPrompts | None, batch: PromptBatch) -> ObjectPrompts:
    """Add the prompts of a call to those of the object, or start a new object with them.

    Args:
        prompts: Prompts for the object so far; None without an object.
        batch: Prompts of this call.

    Raises:
        NothingToCorrect: When there is no object, and the call brings only clicks.
        ResourceExhausted: When the object would have too many clicks.
    """
    if batch.extent is not None:
        extent, clicks, strokes = batch.extent, batch.clicks, batch.strokes
    elif prompts is None:
        raise NothingToCorrect(
            "there is no mask that could be corrected; start with extreme points, a box, a mask or a positive lasso"
        )
    else:
        extent, clicks = prompts.extent, prompts.clicks.then(batch.clicks)
        strokes = add_strokes(prompts.strokes, batch.strokes, clicks_before=len(prompts.clicks))
    check_click_count(len(clicks))
    return ObjectPrompts(extent, clicks, len(batch.clicks), strokes, len(batch.strokes))
