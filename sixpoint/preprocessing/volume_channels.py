"""The tensor of a whole image, of which a segmentation network sees one patch at a time."""

from __future__ import annotations

import numpy as np

from sixpoint._typing import Array, Floating
from sixpoint.model_spec import SegmentationSpec
from sixpoint.preprocessing.guidance import volume_input
from sixpoint.preprocessing.monai_spacing import recompute_zeros
from sixpoint.preprocessing.roi import Roi

__all__ = ["volume_channels"]


def volume_channels(image: Array, roi: Roi, spec: SegmentationSpec) -> Floating:
    """Resample an image to a network's grid and apply its windows, in the order that the spec states.

    Args:
        image: Canonical array [z, y, x] of any real dtype, in the image's own units.
        roi: The network's grid over the whole image.
        spec: The model.

    Returns:
        Array [channel, z, y, x] on the grid, float16 or float32 as the spec says.
    """
    if not spec.patch.windowed_first:
        grid = roi.extract(image)
        zero_matters = any(channel.kind == "image" and channel.intensity.nonzero for channel in spec.input.channels)
        if roi.spacing_steps and zero_matters:
            axes = spec.network.axes if spec.network else "SPL"
            recompute_zeros(grid, image, steps=roi.spacing_steps, axes=axes)
        return volume_input(grid, spec.input)
    windowed = volume_input(np.ascontiguousarray(image, np.float32), spec.input)
    result = np.empty((len(windowed), *roi.size[::-1]), windowed.dtype)
    for made, channel in zip(result, windowed, strict=True):
        made[...] = roi.extract(channel)
    return result
