"""The image channels of an ROI: resampled and windowed, in the order that the spec states."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial

import numpy as np

from sixpoint._typing import Float, Floating, Size
from sixpoint.model_spec import ImageChannel, ModelSpec
from sixpoint.preprocessing.guidance import PromptGuidance, write_image_channels
from sixpoint.preprocessing.intensity import IntensityWindow, estimate_percentiles, fit_window
from sixpoint.preprocessing.roi import Roi, SliceableArray

__all__ = ["write_roi_channels"]

_VOXELS = (1, 1, 1)


class _WindowedVoxels:
    """An image under an intensity window, which is applied when voxels are read."""

    def __init__(self, voxels: SliceableArray, window: IntensityWindow) -> None:
        self._voxels = voxels
        self._window = window

    @property
    def shape(self) -> tuple[int, ...]:
        return self._voxels.shape

    def __getitem__(self, window: tuple[slice, slice, slice], /) -> Float:
        voxels = np.ascontiguousarray(self._voxels[window], np.float32)
        result = np.empty_like(voxels)
        self._window.apply(voxels, result)
        return result


def write_roi_channels(
    reduce_image: Callable[[Size], SliceableArray],
    roi: Roi,
    guidance: PromptGuidance,
    spec: ModelSpec,
    *,
    out: Floating,
) -> None:
    """Write the image channels of an ROI.

    Args:
        reduce_image: Function from a block's size (x, y, z) in voxels to the canonical image's block means [z, y, x];
            see :mod:`sixpoint.preprocessing.roi`.
        roi: Region that the network sees.
        guidance: Prompts in the ROI's frame.
        spec: The model: its channels, and whether windows come before the resampling.
        out: Tensor [channel, z, y, x] of :func:`sixpoint.preprocessing.allocate_input`.
    """
    if not spec.roi.windowed_first:
        write_image_channels(roi.resample(reduce_image(roi.reduction_factors)), guidance, spec.input, out=out)
        return
    voxels = reduce_image(_VOXELS)
    windows = [channel.intensity for channel in spec.input.channels if isinstance(channel, ImageChannel)]
    # A window of given values needs no copy of the voxels.
    read = [slice(0, n if any(window.method != "range" for window in windows) else 0) for n in voxels.shape]
    image = np.ascontiguousarray(voxels[read[0], read[1], read[2]], np.float32)
    percentiles = cache(partial(estimate_percentiles, image))
    for made, channel in zip(out, spec.input.channels, strict=True):
        if isinstance(channel, ImageChannel):
            window = fit_window(
                image, channel.intensity, extremes=guidance.extremes, box=guidance.box, percentiles=percentiles
            )
            made[...] = roi.resample(_WindowedVoxels(voxels, window))
