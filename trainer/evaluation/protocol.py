"""Evaluation of an annotation model as people use it: through the gateway, with six points and up to five corrections.

The protocol is that of the CVPR 2025 challenge "Foundation Models for Interactive 3D Biomedical Image Segmentation",
with extreme points in place of its initial box: after each answer, one click in the middle of the largest error. In
addition, jittered points are evaluated, since people miss by some voxels.
"""

from __future__ import annotations

import time
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from scipy import ndimage

from sixpoint._typing import Array, Bools, Ints, Points
from sixpoint.errors import PromptError
from sixpoint.geometry import Geometry
from sixpoint.mask import Mask
from sixpoint.prompts import Box, Click, ExtremePoints, Prompt
from trainer.data.structures import Structure
from trainer.evaluation.metrics import Agreement, agreement
from trainer.simulation.click_measures import ClickChange, measure_click
from trainer.simulation.simulated_user import ErrorClick, error_click

__all__ = [
    "CLICKS",
    "JITTER_VOXELS",
    "ClickEffect",
    "OnResult",
    "ScoredAnswer",
    "Session",
    "SkippedStructure",
    "StructureResult",
    "evaluate_structure",
    "extreme_points",
    "next_click",
]


CLICKS = 5
JITTER_VOXELS = 3
FAR = 0.25
"""A voxel is far from a click beyond this fraction of the longest edge (in mm) of the structure's box."""
_CELLS_ACROSS = 44
"""Cells of the network's grid along the structure's box: of 64, with a margin of 22.5 % of the box on each side."""
_PHASES = ("queue", "preprocess", "inference", "postprocess", "encode")
_MAX_DRAWS = 100


class Session(Protocol):
    """The part of :class:`sixpoint.Session` that an evaluation uses."""

    def annotate(self, *prompts: Prompt) -> Mask:
        """Return the mask of the object after these prompts."""
        ...


OnResult = Callable[[Structure, Array, Points, Sequence[ErrorClick]], None]
"""Callback with a structure, its last answer [z, y, x], its exact points (x, y, z), shape [6, 3], and the clicks."""


@dataclass(frozen=True)
class ClickEffect:
    """Effect of a click.

    Attributes:
        point: Clicked voxel, (x, y, z).
        positive: Whether the click is positive.
        holds: Whether the clicked voxel is now in the object exactly if the click is positive.
        changed: Number of voxels that changed.
        far: Number of changed voxels far from the click, see :data:`FAR`.
        far_worse: Number of changed voxels far from the click that were right before.
        gain: Dice after the click minus Dice before.
        change: What the click corrected and spoilt.
    """

    point: tuple[int, int, int]
    positive: bool
    holds: bool
    changed: int
    far: int
    far_worse: int
    gain: float
    change: ClickChange


@dataclass(frozen=True)
class ScoredAnswer:
    """An answer with its scores. The field names are keys of ``evaluation.json``.

    Attributes:
        agreement: Agreement with the truth.
        seconds: Duration of the whole call, as the caller sees it.
        phases: Duration of each of the gateway's phases, in seconds; empty for baselines.
        click: Effect of the click that asked for the answer, if one did.
    """

    agreement: Agreement
    seconds: float
    phases: Mapping[str, float] = field(default_factory=dict)
    click: ClickEffect | None = None


@dataclass(frozen=True)
class StructureResult:
    """All answers for one structure. The field names are keys of ``evaluation.json``.

    Attributes:
        group: Group of the structure.
        name: Name of the structure.
        voxels: Number of voxels of the structure.
        ml: Volume of the structure, in ml.
        fill: Fraction of its box that the structure fills.
        extent: Smallest extent of its box, in voxels.
        model_version: Version of the model that answered.
        steps: Answers after exact points, then after each click. Without an error to click, the answer is repeated.
        jittered: Answer after points that are off by up to :data:`JITTER_VOXELS` on every axis.
        box: Answer after the exact box; None for a model without boxes.
        baselines: Answers of other methods to the exact points, by name.
    """

    group: str
    name: str
    voxels: int
    ml: float
    fill: float
    extent: int
    model_version: str
    steps: tuple[ScoredAnswer, ...]
    jittered: ScoredAnswer
    box: ScoredAnswer | None
    baselines: Mapping[str, ScoredAnswer]


@dataclass(frozen=True)
class SkippedStructure:
    """A structure that six points cannot describe.

    Attributes:
        group: Group of the structure.
        name: Name of the structure.
        reason: Error of its extreme points.
    """

    group: str
    name: str
    reason: str


def evaluate_structure(
    session: Session,
    structure: Structure,
    *,
    prompts: Sequence[str],
    baselines: Mapping[str, Callable[[Any, Points], Bools]],
    on_result: OnResult | None = None,
) -> StructureResult | SkippedStructure:
    """Prompt for one structure as a user would, and score the answers.

    Args:
        session: Session on the structure's image.
        structure: Structure to outline.
        prompts: Kinds of prompts that the model takes. Without "clicks" or "box", these steps are skipped.
        baselines: Methods to compare with, by name.
        on_result: Callback after the last answer.

    Raises:
        SixpointError: The gateway fails.
    """
    truth, geometry = structure.truth, structure.image.geometry
    exact = ExtremePoints.of_mask(truth)
    try:
        points = exact.to_index(geometry)
    except PromptError as error:
        return SkippedStructure(structure.group, structure.name, error.message)
    box = None
    if "box" in prompts:
        lower, upper = points.min(axis=0).tolist(), points.max(axis=0).tolist()
        box, _ = _annotate(session, Box(lower, upper), truth, geometry)
    jittered, _ = _annotate(session, extreme_points(structure, jitter=JITTER_VOXELS), truth, geometry)
    answer, mask = _annotate(session, exact, truth, geometry)
    steps, clicks = [answer], []
    for _ in range(CLICKS if "clicks" in prompts else 0):
        click = next_click(truth, mask.array > 0)
        if click is None:
            steps.append(ScoredAnswer(steps[-1].agreement, seconds=0.0))
            continue
        clicks.append(click)
        answer, mask = _correct(session, structure, click, steps[-1], mask)
        steps.append(answer)
    if on_result:
        on_result(structure, mask.array, points, clicks)
    voxels = int(np.count_nonzero(truth))
    sides = _extents(truth)
    return StructureResult(
        group=structure.group,
        name=structure.name,
        voxels=voxels,
        ml=voxels * geometry.voxel_volume_ml,
        fill=voxels / int(np.prod(sides)),
        extent=int(sides.min()),
        model_version=mask.model_version,
        steps=tuple(steps),
        jittered=jittered,
        box=box,
        baselines={name: _score_baseline(method, structure, points) for name, method in baselines.items()},
    )


def _annotate(session: Session, prompt: Prompt, truth: Bools, geometry: Geometry) -> tuple[ScoredAnswer, Mask]:
    started = time.perf_counter()
    mask = session.annotate(prompt)
    seconds = time.perf_counter() - started
    phases = {name: getattr(mask.timings, name).total_seconds() for name in _PHASES}
    return ScoredAnswer(agreement(mask.array, truth, geometry), seconds, phases), mask


def _correct(
    session: Session, structure: Structure, click: ErrorClick, before: ScoredAnswer, mask: Mask
) -> tuple[ScoredAnswer, Mask]:
    """Send a click that corrects ``mask``, and score its answer and its effect."""
    prompt = Click(click.point, click.positive)
    answer, corrected = _annotate(session, prompt, structure.truth, structure.image.geometry)
    gain = answer.agreement.dice - before.agreement.dice
    effect = _click_effect(click, mask.array > 0, corrected.array > 0, structure, gain=gain)
    return ScoredAnswer(answer.agreement, answer.seconds, answer.phases, effect), corrected


def _score_baseline(method: Callable[[Any, Points], Bools], structure: Structure, points: Points) -> ScoredAnswer:
    started = time.perf_counter()
    outlined = method(structure.image, points)
    seconds = time.perf_counter() - started
    return ScoredAnswer(agreement(outlined, structure.truth, structure.image.geometry), seconds)


def extreme_points(structure: Structure, *, jitter: int) -> ExtremePoints:
    """Jitter every coordinate of the structure's extreme points by up to ``jitter`` voxels, within the image.

    The seed is the structure's name. Points in one plane, which the gateway refuses, are drawn again.

    Raises:
        PromptError: The exact points are not valid extreme points.
    """
    exact = ExtremePoints.of_mask(structure.truth)
    exact.to_index(structure.image.geometry)
    rng = np.random.default_rng(zlib.crc32(f"{structure.group} {structure.name}".encode()))
    last = np.array(structure.image.geometry.size) - 1
    for _ in range(_MAX_DRAWS):
        moved = np.array(exact.points) + rng.integers(-jitter, jitter + 1, (len(exact.points), 3))
        points = ExtremePoints(np.clip(moved, 0, last).tolist())
        try:
            points.to_index(structure.image.geometry)
        except PromptError:
            continue
        return points
    return exact


def next_click(truth: Bools, answer: Bools) -> ErrorClick | None:
    """Find the next click, like :func:`~trainer.simulation.simulated_user.error_click`, in the box of both masks."""
    box = ndimage.find_objects((truth | answer).view(np.uint8))[0]
    click = error_click(truth[box], answer[box])
    if click is None:
        return None
    x, y, z = (int(a + part.start) for a, part in zip(click.point, box[::-1], strict=True))
    return ErrorClick(point=(x, y, z), positive=click.positive)


def _click_effect(click: ErrorClick, before: Bools, after: Bools, structure: Structure, *, gain: float) -> ClickEffect:
    changed = np.argwhere(before != after)
    spacing = np.array(structure.image.geometry.spacing[::-1])
    sides = _extents(structure.truth)
    extent = float((sides * spacing).max())
    distance = np.linalg.norm((changed - click.point[::-1]) * spacing, axis=1)
    far = changed[distance > FAR * extent]
    right = before[tuple(far.T)] == structure.truth[tuple(far.T)]
    return ClickEffect(
        point=click.point,
        positive=click.positive,
        holds=bool(after[click.point[::-1]]) == click.positive,
        changed=len(changed),
        far=len(far),
        far_worse=int(np.count_nonzero(right)),
        gain=gain,
        change=measure_click(structure.truth, before, after, click, cell=(sides / _CELLS_ACROSS).tolist()),
    )


def _extents(mask: Bools) -> Ints:
    """Compute the extents (z, y, x) of a mask's box, in voxels."""
    box = ndimage.find_objects(mask.view(np.uint8))[0]
    return np.array([part.stop - part.start for part in box])
