"""Label maps that clients send as files: the mask of each label."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from gateway.core.images import ImageHeader
from sixpoint.errors import DatasetError
from sixpoint.errors.shortening import quoted
from sixpoint.geometry import Geometry
from sixpoint.mask import PackedMask, pack
from sixpoint.masks.labels import whole_labels
from sixpoint.masks.regridding import reorder
from sixpoint.volume import VOXEL_TYPES

__all__ = ["masks_of_labels"]


def masks_of_labels(
    header: ImageHeader, path: Path, geometry: Geometry, names: Mapping[int, str]
) -> list[tuple[str, PackedMask]]:
    """Return the mask of each label that has voxels.

    What has none is left out: viewers list all their segments, also those that nobody drew: they are not known.

    Args:
        header: Header of the label map.
        path: File with its voxels.
        geometry: Geometry of the image.
        names: Name of each number.

    Raises:
        DatasetError: The label map does not fit the image, or has a number without a name.
    """
    voxels = np.memmap(path, VOXEL_TYPES[header.voxel_type], mode="r", shape=header.geometry.shape)
    try:
        labels = reorder(whole_labels(voxels), header.geometry, geometry)
    except ValueError as error:
        raise DatasetError(f"the label map {error}") from None
    numbers = [int(number) for number in np.unique(labels) if number]
    unknown = [number for number in numbers if number not in names]
    if unknown:
        raise DatasetError(
            f"the label map has the number {unknown[0]}, and neither label_info nor the dataset says what that is"
        )
    masks: dict[str, PackedMask] = {}
    for number in numbers:
        if (name := names[number]) in masks:
            raise DatasetError(f"label {quoted(name)} has several numbers; give each label one")
        masks[name] = pack(labels == number, (0, 0, 0))
    return list(masks.items())
