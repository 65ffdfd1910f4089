"""What a segmentation tells: how far it is, its labels one after the other, and where the time went."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.core.runtime.stage import Stage
from sixpoint._typing import Bools, Index
from sixpoint.mask import PackedMask, Timings, cropped, pack
from sixpoint.prompts import ExtremePoints

__all__ = ["LabelMask", "SegmentationEvent", "SegmentationProgress", "SegmentationSummary", "pack_label"]


@dataclass(frozen=True)
class SegmentationProgress:
    """How far a segmentation is.

    Attributes:
        phase: What is being done.
        done: Patches that the network has answered.
        count: Patches in all; 0 while that is not known.
    """

    stage: Stage
    done: int = 0
    count: int = 0


@dataclass(frozen=True)
class LabelMask:
    """One label of a segmentation.

    Attributes:
        number: Its number, from 1.
        name: Its name.
        mask: Its voxels, whole.
        extremes: Its six extreme points, voxels (x, y, z) of the image; none where the image has nothing of it.
    """

    number: int
    name: str
    mask: PackedMask
    extremes: tuple[Index, ...]


@dataclass(frozen=True)
class SegmentationSummary:
    """The end of a segmentation.

    Attributes:
        model: Name of the model.
        version: Its version, as Triton answered.
        timings: Where the time went; ``inference`` is from the first patch to the last answer, with the blending and
            labelling that are done meanwhile.
    """

    model: str
    version: str
    timings: Timings


SegmentationEvent = SegmentationProgress | LabelMask | SegmentationSummary


def pack_label(number: int, name: str, mask: Bools) -> LabelMask:
    """A label, from all its voxels.

    Args:
        number: Its number.
        name: Its name.
        mask: Bool [z, y, x], in the image's own axes.
    """
    piece, (x0, y0, z0) = cropped(mask)
    extremes: tuple[Index, ...] = ()
    if piece.size:
        points = ExtremePoints.of_mask(piece).points
        extremes = tuple((int(x) + x0, int(y) + y0, int(z) + z0) for x, y, z in points)
    return LabelMask(number, name, pack(piece, (x0, y0, z0)), extremes)
