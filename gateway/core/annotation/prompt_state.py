"""What a person showed, in canonical voxels: the prompts of one call, and of one object so far."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from sixpoint._typing import Bools, Points, Size
from sixpoint.errors import NothingToCorrect, PromptError, PromptNotSupported, ResourceExhausted, Violation
from sixpoint.geometry import Geometry
from sixpoint.model_spec import PromptKind
from sixpoint.prompts import Box, Click, ExtremePoints, InitialMask, Prompt

__all__ = [
    "MAX_CLICKS",
    "Clicks",
    "ObjectExtent",
    "ObjectPrompts",
    "PromptBatch",
    "accumulate",
    "check_click_count",
    "check_prompt_kinds",
    "read_prompts",
    "start_from_clicks",
    "start_without_extent",
]


MAX_CLICKS = 1000
"""Of one object: far more than anybody makes; every answer costs time for each of them."""

_KINDS: dict[type[Prompt], PromptKind] = {
    ExtremePoints: PromptKind.EXTREME_POINTS,
    Box: PromptKind.BOX,
    Click: PromptKind.CLICKS,
    InitialMask: PromptKind.MASK,
}


@dataclass(frozen=True, eq=False)
class ObjectExtent:
    """Where an object lies.

    Attributes:
        box: Lower and upper corner of the box that was drawn, or of the extreme points' or the mask's box; (x, y, z),
            shape [2, 3].
        extremes: The extreme points (x, y, z), shape [n, 3]: those that were clicked, or those of the mask; none for a
            box.
        mask: The mask to correct, bool [z, y, x], from ``box``'s lower to its upper voxel; None without one.
        anywhere: Whether clicks began the object, and ``box`` is the image's.
    """

    box: Points
    extremes: Points
    mask: Bools | None = None
    whole_image: bool = False


@dataclass(frozen=True, eq=False)
class Clicks:
    """Clicks in the order in which they were made: where two contradict each other, the later one holds.

    Attributes:
        points: (x, y, z), shape [n, 3].
        positive: Whether the object is there, bool, shape [n].
    """

    points: Points
    positive: Bools

    def __len__(self) -> int:
        return len(self.positive)

    def then(self, later: Clicks) -> Clicks:
        """These, and later ones."""
        return Clicks(np.concatenate([self.points, later.points]), np.concatenate([self.positive, later.positive]))

    def voxels(self, size: Size) -> npt.NDArray[np.int64]:
        """The voxels (x, y, z) of an image of ``size`` that were clicked, shape [n, 3]."""
        # A click on the image's upper face is on its last voxel.
        return np.clip(np.floor(self.points + 0.5), 0, np.array(size) - 1).astype(np.int64)


@dataclass(frozen=True, eq=False)
class PromptBatch:
    """The prompts of one call: as they came, and in canonical indices.

    Attributes:
        prompts: As they came.
        extent: What begins a new object, if anything does.
        clicks: What corrects the answer; there may be none.
    """

    prompts: tuple[Prompt, ...]
    extent: ObjectExtent | None
    clicks: Clicks


@dataclass(frozen=True, eq=False)
class ObjectPrompts:
    """What a person showed of one object so far, in canonical indices.

    Attributes:
        extent: Where it lies.
        clicks: All clicks on it.
        new: How many of them, from the end, the last call brought.
    """

    extent: ObjectExtent
    clicks: Clicks
    new_clicks: int


def read_prompts(prompts: Sequence[Prompt], *, geometry: Geometry) -> PromptBatch:
    """The prompts of one call, placed in the canonical image.

    Args:
        prompts: In the order in which they were given.
        geometry: Of the image as it came.

    Raises:
        PromptError: When there are none, one makes no sense in this image, or one that begins an object is not first.
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
                "extreme points, a box or a mask begin a new object: at most one of them in a call, before any click",
                violations=(Violation(f"prompts[{number}]", "only a click may follow another prompt"),),
            )
        else:
            # An axis that is stored backwards has swapped the corners.
            box = np.stack([placed.min(axis=0), placed.max(axis=0)])
            brought = _canonical_mask(prompt, number, geometry)
            extremes = placed if isinstance(prompt, ExtremePoints) else np.empty((0, 3))
            if brought is not None:
                # The network sees it as it would have seen the points of whoever drew it.
                extremes = box[0] + np.array(ExtremePoints.of_mask(brought).points)
            extent = ObjectExtent(box, extremes, brought)
    return PromptBatch(tuple(prompts), extent, Clicks(np.concatenate(points), np.array(positive, np.bool_)))


def _canonical_mask(prompt: Prompt, number: int, geometry: Geometry) -> Bools | None:
    if not isinstance(prompt, InitialMask):
        return None
    try:
        return geometry.orientation.to_canonical(prompt.voxels())
    except PromptError as error:
        raise error.under(f"prompts[{number}]") from None


def check_click_count(clicks: int) -> None:
    """Refuse more clicks than one object takes.

    Raises:
        ResourceExhausted: When they are too many.
    """
    if clicks > MAX_CLICKS:
        raise ResourceExhausted(
            f"{clicks} clicks on one object, where {MAX_CLICKS} is the limit; begin it anew, with extreme points or "
            "a box"
        )


def check_prompt_kinds(batch: PromptBatch, *, model: str, accepted: Sequence[PromptKind]) -> None:
    """Refuse what a model does not take.

    Raises:
        PromptNotSupported: Naming what it takes.
    """
    given = dict.fromkeys(_KINDS[type(prompt)] for prompt in batch.prompts)
    refused = ", ".join(kind.value for kind in given if kind not in accepted)
    if refused:
        raise PromptNotSupported(f"model {model!r} takes {', '.join(accepted) or 'no prompts'}; not {refused}")


def start_from_clicks(
    prompts: ObjectPrompts | None, batch: PromptBatch, *, model: str, clicks_suffice: bool, geometry: Geometry
) -> PromptBatch:
    """The call as one that begins an object, if its clicks do; otherwise as it is.

    Args:
        prompts: Prompts for the object so far; None without an object.
        batch: Prompts of this call.
        model: Name of the model that is to answer.
        clicks_suffice: Whether the model can start an object from clicks alone.
        geometry: Of the image as it came.

    Raises:
        NothingToCorrect: When there is nothing to take away from, or clicks began the object and the model needs more.
    """
    if batch.extent is not None or not len(batch.clicks):
        return batch
    if prompts is not None:
        if prompts.extent.whole_image and not clicks_suffice:
            raise NothingToCorrect(
                f"a click began this object, and model {model!r} needs to know how far it reaches; begin it anew with "
                "extreme points, a box or a mask"
            )
        return batch
    if not clicks_suffice:
        return batch
    if not batch.clicks.positive.any():
        raise NothingToCorrect("there is no answer that negative clicks could correct; begin with a positive one")
    return start_without_extent(batch, geometry=geometry)


def start_without_extent(batch: PromptBatch, *, geometry: Geometry) -> PromptBatch:
    """The call of clicks as one that begins an object, of which nobody knows how far it reaches."""
    upper = np.array(geometry.canonical().size, np.float64) - 1
    extent = ObjectExtent(np.stack([np.zeros(3), upper]), np.empty((0, 3)), whole_image=True)
    return replace(batch, extent=extent)


def accumulate(prompts: ObjectPrompts | None, batch: PromptBatch) -> ObjectPrompts:
    """What was shown of the object once a call is added: a new object when it begins one.

    Raises:
        NothingToCorrect: When it only brings clicks and nothing was begun.
        ResourceExhausted: When these are too many clicks for one object.
    """
    if batch.extent is not None:
        extent, clicks = batch.extent, batch.clicks
    elif prompts is None:
        raise NothingToCorrect(
            "there is no answer that clicks could correct; begin with extreme points, a box or a mask"
        )
    else:
        extent, clicks = prompts.extent, prompts.clicks.then(batch.clicks)
    check_click_count(len(clicks))
    return ObjectPrompts(extent, clicks, len(batch.clicks))
