"""The masks of an annotation: which label each is, checks of those that come from outside, and their digest."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence

import numpy as np

from gateway.core.datasets.records import DatasetRow, LabelMask
from gateway.core.runtime import Admission
from sixpoint.errors import DatasetError, InternalError, Violation
from sixpoint.errors.shortening import quoted
from sixpoint.geometry import Geometry
from sixpoint.mask import PackedMask, check_box, pack, voxels_of
from sixpoint.masks.digest import NumberedBox, masks_digest

__all__ = ["digest_of", "empty_mask", "label_names", "label_numbers", "repack"]


def empty_mask() -> PackedMask:
    """Return the mask of a label that an image has no voxel of."""
    return pack(np.zeros((1, 1, 1), np.bool_), (0, 0, 0))


async def repack(mask: PackedMask, geometry: Geometry, name: str, *, admission: Admission) -> PackedMask:
    """Check a mask that came from outside, and cut its box to the smallest.

    Args:
        mask: The mask.
        geometry: Geometry of the image.
        name: Name of its label, for errors.
        admission: Limits how much memory masks take at once.

    Raises:
        DatasetError: It is damaged, exceeds the image, or is a change of another mask.
    """
    try:
        if mask.base_revision:
            raise DatasetError(f"the mask of {quoted(name)} is a change of another one; expected a whole mask")
        check_box(mask, geometry.size)
        voxels = math.prod(b - a for a, b in zip(mask.lower, mask.upper, strict=True))
        async with admission.slot(), admission.memory(3 * voxels):
            return await asyncio.to_thread(lambda: pack(voxels_of(mask), mask.lower))
    except InternalError as error:
        raise DatasetError(
            f"the mask of {quoted(name)} cannot be used: {error.message}", violations=(Violation("labels", "masks"),)
        ) from None


def digest_of(masks: Sequence[LabelMask]) -> str:
    """SHA-256 over number, box and bits of each mask; boxes are the smallest, so equal masks have equal ones."""
    return masks_digest(NumberedBox(each.number, each.mask.lower, each.mask.upper, each.mask.sha256) for each in masks)


def label_numbers(dataset: DatasetRow, names: Sequence[str]) -> dict[str, int]:
    """Number of each label by its name; each name may come once."""
    numbers = {label.name: label.number for label in dataset.labels}
    for name in names:
        if name not in numbers:
            raise DatasetError(
                f"the dataset has no label {quoted(name)}; its labels are: {label_names(dataset)}. Rename the segment, "
                "or add the label (AddLabels, sixpoint dataset labels)",
                violations=(Violation("labels", "labels of the dataset"),),
            )
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise DatasetError(
            f"label {quoted(twice)} is there twice; give each segment a label of its own, and name no label absent "
            "that has a segment",
            violations=(Violation("labels", "each label once"),),
        )
    return numbers


def label_names(dataset: DatasetRow) -> str:
    """The names of a dataset's labels, for errors; of many, the first ones."""
    return ", ".join(quoted(label.name) for label in dataset.labels[:20]) or "none"
