"""An annotation model judged as people use it: over the running gateway, by six points and up to five corrections.

The protocol of the CVPR 2025 challenge "Foundation Models for Interactive 3D Biomedical Image Segmentation", begun with
extreme points in place of its box: after each answer one click in the middle of the largest error. Beside it what
people do: points that miss by some voxels.
"""

from __future__ import annotations

import time
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from scipy import ndimage

from sixpoint._typing import Array, Bools, Points
from sixpoint.errors import PromptError
from sixpoint.geometry import Geometry
from sixpoint.mask import Mask
from sixpoint.prompts import Box, Click, ExtremePoints, Prompt
from trainer.data.structures import Structure
from trainer.evaluation.metrics import Agreement, agreement
from trainer.simulation.simulated_user import ErrorClick, error_click

__all__ = [
    "CLICKS",
    "JITTER_VOXELS",
    "ClickEffect",
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
"""A voxel is far from a click beyond this part of the longest edge of the structure's box, in mm."""
_PHASES = ("queue", "preprocess", "inference", "postprocess", "encode")
_MAX_DRAWS = 100


class Session(Protocol):
    """What is asked for answers: :class:`sixpoint.Session`."""

    def annotate(self, *prompts: Prompt) -> Mask:
        """An object's mask after these prompts."""
        ...


@dataclass(frozen=True)
class ClickEffect:
    """What one click did.

    Attributes:
        point: The voxel (x, y, z).
        positive: Whether it said that the object is there.
        holds: Whether the voxel is on that side now.
        changed: Voxels that changed sides.
        far: Those of them that lie far from the click; see :data:`FAR`.
        far_worse: Those of the far ones that were right before.
        gain: By how much Dice rose.
    """

    point: tuple[int, int, int]
    positive: bool
    holds: bool
    changed: int
    far: int
    far_worse: int
    gain: float


@dataclass(frozen=True)
class ScoredAnswer:
    """One answer, judged.

    Attributes:
        agreement: With the truth.
        seconds: Of the whole call, as whoever waits for it sees it.
        phases: Seconds of each of the gateway's phases; empty where no gateway answered.
        click: What the click did, when a click asked for it.
    """

    agreement: Agreement
    seconds: float
    phases: Mapping[str, float] = field(default_factory=dict)
    click: ClickEffect | None = None


@dataclass(frozen=True)
class StructureResult:
    """All answers for one structure.

    Attributes:
        group: Of the structure.
        name: Of the structure.
        voxels: Its size.
        ml: Its size.
        model_version: That answered.
        steps: After exact points, then after each click; where nothing is left to correct, the answer stays.
        jittered: After points that miss by up to :data:`JITTER_VOXELS` on every axis.
        box: After its exact box; None when the model takes none.
        baselines: What other methods make of the exact points, by name.
    """

    group: str
    name: str
    voxels: int
    ml: float
    model_version: str
    steps: tuple[ScoredAnswer, ...]
    jittered: ScoredAnswer
    box: ScoredAnswer | None
    baselines: Mapping[str, ScoredAnswer]


@dataclass(frozen=True)
class SkippedStructure:
    """A structure that six points cannot describe, and why."""

    group: str
    name: str
    reason: str


def evaluate_structure(
    session: Session,
    structure: Structure,
    *,
    prompts: Sequence[str],
    baselines: Mapping[str, Callable[[Any, Points], Bools]],
    on_result: Callable[[Structure, Array, Points, Sequence[ErrorClick]], None] | None = None,
) -> StructureResult | SkippedStructure:
    """Ask for one structure as a person would, and judge the answers.

    Args:
        session: On the structure's image.
        structure: What to outline.
        prompts: Kinds that the model takes; without "clicks" and "box", those steps are left out.
        baselines: Methods to judge beside the model, by name.
        show: Called with the last answer [z, y, x], the exact points (x, y, z), shape [6, 3], and the clicks.

    Raises:
        SixpointError: When the gateway fails.
    """
    truth, geometry = structure.truth, structure.image.geometry
    exact = ExtremePoints.of_mask(truth)
    try:
        points = exact.to_index(geometry)
    except PromptError as error:
        return SkippedStructure(structure.group, structure.name, error.message)
    judged_box = None
    if "box" in prompts:
        lower, upper = points.min(axis=0).tolist(), points.max(axis=0).tolist()
        judged_box, _ = _annotate(session, Box(lower, upper), truth, geometry)
    jittered, _ = _annotate(session, extreme_points(structure, jitter=JITTER_VOXELS), truth, geometry)
    answer, mask = _annotate(session, exact, truth, geometry)
    steps, clicks = [answer], []
    for _ in range(CLICKS if "clicks" in prompts else 0):
        inside = mask.array > 0
        click = next_click(truth, inside)
        if click is None:
            steps.append(ScoredAnswer(steps[-1].agreement, seconds=0.0))
            continue
        clicks.append(click)
        answer, mask = _annotate(session, Click(click.point, click.positive), truth, geometry)
        gain = answer.agreement.dice - steps[-1].agreement.dice
        effect = _click_effect(click, inside, mask.array > 0, structure, gain=gain)
        steps.append(ScoredAnswer(answer.agreement, answer.seconds, answer.phases, effect))
    if on_result:
        on_result(structure, mask.array, points, clicks)
    others = {}
    for name, method in baselines.items():
        started = time.perf_counter()
        outlined = method(structure.image, points)
        seconds = time.perf_counter() - started
        others[name] = ScoredAnswer(agreement(outlined, truth, geometry), seconds)
    voxels = int(np.count_nonzero(truth))
    return StructureResult(
        group=structure.group,
        name=structure.name,
        voxels=voxels,
        ml=voxels * geometry.voxel_volume_ml,
        model_version=mask.model_version,
        steps=tuple(steps),
        jittered=jittered,
        box=judged_box,
        baselines=others,
    )


def extreme_points(structure: Structure, *, jitter: int) -> ExtremePoints:
    """The structure's extreme points, every coordinate off by up to ``jitter`` voxels, clipped to the image.

    The draw is the structure's own; one that leaves the points in one plane, which no gateway takes, is drawn again.

    Raises:
        PromptError: When not even the exact points are an object's.
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
    """Find the next click as :func:`~trainer.simulation.simulated_user.error_click` does, in the box of both masks."""
    box = ndimage.find_objects((truth | answer).view(np.uint8))[0]
    click = error_click(truth[box], answer[box])
    if click is None:
        return None
    x, y, z = (int(a + part.start) for a, part in zip(click.point, box[::-1], strict=True))
    return ErrorClick(point=(x, y, z), positive=click.positive)


def _annotate(session: Session, prompt: Prompt, truth: Bools, geometry: Geometry) -> tuple[ScoredAnswer, Mask]:
    started = time.perf_counter()
    mask = session.annotate(prompt)
    seconds = time.perf_counter() - started
    phases = {name: getattr(mask.timings, name).total_seconds() for name in _PHASES}
    return ScoredAnswer(agreement(mask.array, truth, geometry), seconds, phases), mask


def _click_effect(
    click: ErrorClick,
    before: Bools,
    after: Bools,
    structure: Structure,
    *,
    gain: float,
) -> ClickEffect:
    changed = np.argwhere(before != after)
    spacing = np.array(structure.image.geometry.spacing[::-1])
    box = ndimage.find_objects(structure.truth.view(np.uint8))[0]
    extent = max((part.stop - part.start) * mm for part, mm in zip(box, spacing, strict=True))
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
    )
