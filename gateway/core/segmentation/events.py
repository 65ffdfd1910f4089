"""What a segmentation reports: its progress, then its labels one by one, then a summary."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.core.runtime import Stage
from gateway.core.segmentation.scoring import SegmentationScore
from sixpoint._typing import Bools, Index
from sixpoint.mask import PackedMask, Timings, cropped, pack
from sixpoint.prompts import ExtremePoints

__all__ = ["LabelMask", "SegmentationEvent", "SegmentationProgress", "SegmentationSummary", "pack_label"]


@dataclass(frozen=True)
class SegmentationProgress:
    """Progress of a segmentation.

    Attributes:
        stage: Current stage.
        done: Number of patches that the network has finished.
        count: Number of all patches; 0 while unknown.
    """

    stage: Stage
    done: int = 0
    count: int = 0


@dataclass(frozen=True)
class LabelMask:
    """The mask of one label.

    Attributes:
        number: Number of the label, from 1.
        name: Name of the label.
        mask: Voxels of the label, as a whole mask.
        extremes: Six extreme points, as voxel indices (x, y, z); empty if the label has no voxels.
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
        version: Version of the model that Triton ran.
        timings: Time spent on each part; ``inference`` is the time from the first patch to the last output, with the
            aggregation and labelling that happen meanwhile.
        score: How uncertain the network was, where it was asked for.
    """

    model: str
    version: str
    timings: Timings
    score: SegmentationScore | None = None


SegmentationEvent = SegmentationProgress | LabelMask | SegmentationSummary


def pack_label(number: int, name: str, mask: Bools) -> LabelMask:
    """Pack the mask of a label, and find its extreme points.

    Args:
        number: Number of the label.
        name: Name of the label.
        mask: Voxels of the label, bool [z, y, x], in the image's own axes.
    """
    piece, (x0, y0, z0) = cropped(mask)
    extremes: tuple[Index, ...] = ()
    if piece.size:
        points = ExtremePoints.of_mask(piece).points
        extremes = tuple((int(x) + x0, int(y) + y0, int(z) + z0) for x, y, z in points)
    return LabelMask(number, name, pack(piece, (x0, y0, z0)), extremes)
