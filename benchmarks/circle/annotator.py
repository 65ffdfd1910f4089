"""A simulated annotator, by the protocol of the CVPR 2025 challenge: clicks in the middle of the largest error.

He begins with six exact points, stops at a Dice of 0.9 or after eight clicks, and paints what is still wrong by hand:
what he saves is right. Clicks are counted; so are the voxels that he had to paint.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from sixpoint._typing import Bools
from sixpoint.client import Session
from sixpoint.mask import Mask
from sixpoint.metrics import dice
from sixpoint.prompts import Click, ExtremePoints, Scribble
from trainer.evaluation.protocol import next_click

__all__ = ["ENOUGH", "MAX_CLICKS", "Outlined", "outline", "outline_all"]

ENOUGH = 0.9
MAX_CLICKS = 8


@dataclass(frozen=True)
class Outlined:
    """How one structure was outlined.

    Attributes:
        label: Name of the label.
        version: Version of the model that answered.
        dice: Dice of the first answer, and after each click.
        painted: Voxels that were painted by hand at the end, as a share of the structure's; 0 where nobody painted.
    """

    label: str
    version: str
    dice: tuple[float, ...]
    painted: float

    @property
    def clicks(self) -> int:
        """Number of correcting clicks."""
        return len(self.dice) - 1


def outline_all(session: Session, truths: Mapping[str, Bools], *, paint: bool) -> list[Outlined]:
    """Outline every structure of an image, each in a segment of its name."""
    done = []
    for number, (label, truth) in enumerate(truths.items(), 1):
        done.append(outline(session, number, label, truth, paint=paint))
        session.rename(number, label)
    return done


def outline(session: Session, segment: int, label: str, truth: Bools, *, paint: bool) -> Outlined:
    """Outline one structure.

    Args:
        session: Session on the image.
        segment: Number of the segment.
        label: Name of the label.
        truth: Voxels of the structure, [z, y, x].
        paint: Whether to paint at the end what is still wrong.
    """
    mask = session.annotate(ExtremePoints.of_mask(truth), segment=segment)
    scores = [_dice(mask, truth)]
    while scores[-1] < ENOUGH and len(scores) <= MAX_CLICKS:
        click = next_click(truth, mask.array > 0)
        if click is None:
            break
        mask = session.annotate(Click(click.point, click.positive), segment=segment)
        scores.append(_dice(mask, truth))
    painted = int(np.count_nonzero(truth != (mask.array > 0))) if paint else 0
    if painted:
        _paint(session, segment, truth)
    return Outlined(label, mask.model_version, tuple(scores), painted / max(1, int(np.count_nonzero(truth))))


def _paint(session: Session, segment: int, truth: Bools) -> None:
    # The network answers anew after each stroke, so that both say every voxel: what is painted stays.
    session.annotate(Scribble(truth, True), segment=segment)
    session.annotate(Scribble(~truth, False), segment=segment)


def _dice(mask: Mask, truth: Bools) -> float:
    return round(float(dice(mask.array > 0, truth)), 4)
