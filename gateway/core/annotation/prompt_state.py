"""Prompts in canonical voxel indices: those of one call, and those of one object so far."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from gateway.core.annotation.object_extent import ObjectExtent, expand_mask
from sixpoint._typing import Bools, Points, Size
from sixpoint.errors import NothingToCorrect, PromptError, PromptNotSupported, ResourceExhausted, Violation
from sixpoint.geometry import Geometry
from sixpoint.model_spec import ModelSpec, PromptKind
from sixpoint.prompts import Box, Click, ExtremePoints, InitialMask, Prompt

__all__ = [
    "MAX_CLICKS",
    "Clicks",
    "ObjectPrompts",
    "PromptBatch",
    "accumulate",
    "add_to_object",
    "check_click_count",
    "check_prompt_kinds",
    "place_prompts",
    "read_prompts",
    "start_from_clicks",
    "start_without_extent",
]


MAX_CLICKS = 1000
"""Clicks on one object: far more than a person makes. Each of them costs time in every call."""

_KINDS: dict[type[Prompt], PromptKind] = {
    ExtremePoints: PromptKind.EXTREME_POINTS,
    Box: PromptKind.BOX,
    Click: PromptKind.CLICKS,
    InitialMask: PromptKind.MASK,
}


@dataclass(frozen=True, eq=False)
class Clicks:
    """Clicks in the order in which they were made: of two in one voxel, the later one counts.

    Attributes:
        points: Clicked points (x, y, z), shape [n, 3].
        positive: Whether each click is positive, bool, shape [n].
    """

    points: Points
    positive: Bools

    def __len__(self) -> int:
        return len(self.positive)

    def then(self, later: Clicks) -> Clicks:
        """Return these clicks followed by later ones."""
        return Clicks(np.concatenate([self.points, later.points]), np.concatenate([self.positive, later.positive]))

    def voxels(self, size: Size) -> npt.NDArray[np.int64]:
        """Return the clicked voxels (x, y, z) of an image of ``size``, shape [n, 3]."""
        # A point on the upper face of the image belongs to the last voxel.
        return np.clip(np.floor(self.points + 0.5), 0, np.array(size) - 1).astype(np.int64)


@dataclass(frozen=True, eq=False)
class PromptBatch:
    """The prompts of one call, as given and in canonical voxel indices.

    Attributes:
        prompts: Prompts as given.
        extent: Extent of the object that the call starts; None if it corrects the current object.
        clicks: Clicks of the call; may be empty.
    """

    prompts: tuple[Prompt, ...]
    extent: ObjectExtent | None
    clicks: Clicks


@dataclass(frozen=True, eq=False)
class ObjectPrompts:
    """All prompts for one object so far, in canonical voxel indices.

    Attributes:
        extent: Extent of the object.
        clicks: All clicks on the object.
        new_clicks: Number of clicks, counted from the end, that the last call added.
    """

    extent: ObjectExtent
    clicks: Clicks
    new_clicks: int

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
            "expected at least one prompt: extreme points, a box, a mask or a click",
            violations=(Violation("prompts", "one or more"),),
        )
    extent: ObjectExtent | None = None
    points: list[Points] = [np.empty((0, 3))]
    positive: list[bool] = []
    for number, prompt in enumerate(prompts):
        try:
            index = prompt.to_index(geometry)
        except PromptError as error:
            raise error.under(f"prompts[{number}]") from None
        placed = geometry.orientation.index_to_canonical(index, size=geometry.size)
        if isinstance(prompt, Click):
            points.append(placed)
            positive.append(prompt.positive)
        elif number:
            raise PromptError(
                "extreme points, a box or a mask start a new object: at most one of them in a call, before any click",
                violations=(Violation(f"prompts[{number}]", "only a click may follow another prompt"),),
            )
        else:
            # On an axis that is stored backwards, the conversion swaps the corners.
            box = np.stack([placed.min(axis=0), placed.max(axis=0)])
            extremes = placed if isinstance(prompt, ExtremePoints) else np.empty((0, 3))
            extent = ObjectExtent(box, extremes, packed_mask=prompt if isinstance(prompt, InitialMask) else None)
    return PromptBatch(tuple(prompts), extent, Clicks(np.concatenate(points), np.array(positive, np.bool_)))


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
    check_prompt_kinds(batch, model=model, accepted=spec.prompts)
    suffice = spec.begun_by_clicks
    batch = start_from_clicks(prompts, batch, model=model, clicks_suffice=suffice, geometry=geometry)
    return batch, accumulate(prompts, batch)


def check_click_count(clicks: int) -> None:
    """Refuse more than :data:`MAX_CLICKS` clicks on one object.

    Raises:
        ResourceExhausted: When there are more.
    """
    if clicks > MAX_CLICKS:
        raise ResourceExhausted(
            f"{clicks} clicks on one object, and {MAX_CLICKS} is the limit; start the object anew with extreme points "
            "or a box"
        )


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
        extent, clicks = batch.extent, batch.clicks
    elif prompts is None:
        raise NothingToCorrect("there is no mask that clicks could correct; start with extreme points, a box or a mask")
    else:
        extent, clicks = prompts.extent, prompts.clicks.then(batch.clicks)
    check_click_count(len(clicks))
    return ObjectPrompts(extent, clicks, len(batch.clicks))
