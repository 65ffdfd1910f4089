"""Build the network's input: image windows and guidance maps, the only code that turns prompts into tensors.

All channels are computed in the ROI's frame, where the box runs from -1 to 1 along each axis, so that they depend
neither on the grid's size nor on the image's spacing. The trainer and the gateway both call :func:`network_input`.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cache, partial
from typing import Self

import numpy as np
import numpy.typing as npt

from sixpoint._typing import Bools, Float, Floating, Points, Shape, Size
from sixpoint.model_spec import (
    Channel,
    ClickChannel,
    EllipsoidChannel,
    FieldOfViewChannel,
    HeatmapChannel,
    HullChannel,
    ImageChannel,
    InputSpec,
    PreviousChannel,
    PromptKind,
    StrokeChannel,
)
from sixpoint.preprocessing import kernels
from sixpoint.preprocessing.guidance_maps import ellipsoid_map, field_of_view_map, heatmap, hull_map
from sixpoint.preprocessing.intensity import estimate_percentiles, fit_window
from sixpoint.preprocessing.roi import Roi

__all__ = [
    "PromptGuidance",
    "allocate_input",
    "network_input",
    "update_input",
    "volume_input",
    "write_guidance_channels",
    "write_image_channels",
]


# Voxels windowed at a time.
_PIECE = 2**22


def _no_points() -> Points:
    return np.empty((0, 3))


@dataclass(frozen=True, eq=False, kw_only=True)
class PromptGuidance:
    """Prompts in the ROI's frame (-1 to 1 along each axis); points are (x, y, z).

    Attributes:
        box: Lower and upper corner of the extreme points' box, or of the box prompt, shape [2, 3].
        extremes: Extreme points, shape [n, 3]; empty for a box prompt.
        positive: Positive clicks, shape [n, 3].
        negative: Negative clicks, shape [n, 3].
        previous: The answer that the clicks correct: probabilities [z, y, x] on the ROI's grid; None before the first.
        strokes: Cells [z, y, x] that strokes take up, by the kind of the prompt, and whether it is positive.
        scan: Lower and upper face of the image, beyond which there are no voxels, shape [2, 3].
    """

    box: Points
    extremes: Points = field(default_factory=_no_points)
    positive: Points = field(default_factory=_no_points)
    negative: Points = field(default_factory=_no_points)
    previous: Float | None = None
    strokes: Mapping[tuple[PromptKind, bool], Bools] = field(default_factory=dict)
    image_bounds: Points

    @classmethod
    def in_roi(
        cls,
        roi: Roi,
        *,
        box: npt.ArrayLike,
        extremes: npt.ArrayLike = (),
        positive: npt.ArrayLike = (),
        negative: npt.ArrayLike = (),
        previous: Float | None = None,
        strokes: Mapping[tuple[PromptKind, bool], Bools] | None = None,
        image_size: Size,
    ) -> Self:
        """Bring prompts from canonical indices (x, y, z) into the frame of an ROI.

        Args:
            roi: Region that the network sees.
            box: Lower and upper corner, shape [2, 3].
            extremes: Extreme points, shape [n, 3].
            positive: Positive clicks, shape [n, 3].
            negative: Negative clicks, shape [n, 3].
            previous: Previous answer, probabilities [z, y, x] on the grid of ``roi``.
            strokes: Cells [z, y, x] that strokes take up, by the kind of the prompt, and whether it is positive.
            image_size: Voxels of the canonical image along (x, y, z).
        """
        return cls(
            box=roi.normalise(box),
            extremes=roi.normalise(extremes),
            positive=roi.normalise(positive),
            negative=roi.normalise(negative),
            previous=previous,
            strokes=strokes or {},
            image_bounds=roi.normalise([(-0.5, -0.5, -0.5), tuple(n - 0.5 for n in image_size)]),
        )

    def with_clicks_in_cells(self, size: Size, *, image_size: Size, axes: str) -> Self:
        """Move clicks on the whole image to the middle of a cell, as MONAI's DeepEdit transforms place them.

        Args:
            size: Cells of the network's grid along (x, y, z).
            image_size: Voxels of the canonical image along (x, y, z).
            axes: Directions of the network's axes, as ``RAS``: the cell is that of the voxel's first corner along them.
        """
        cells, voxels = np.array(size), np.array(image_size)
        flipped = np.array([forward not in axes for forward in "LPS"])

        def move(points: Points) -> Points:
            voxel = np.clip(np.floor((points + 1.0) / 2.0 * voxels), 0, voxels - 1).astype(np.int64)
            cell = np.where(flipped, voxels - 1 - voxel, voxel) * cells // voxels
            return (2.0 * np.where(flipped, cells - 1 - cell, cell) + 1.0) / cells - 1.0

        return replace(self, positive=move(self.positive), negative=move(self.negative))


def network_input(image: Float, guidance: PromptGuidance, spec: InputSpec) -> Floating:
    """Build the input tensor for one ROI.

    Args:
        image: Voxels [z, y, x] of the ROI's grid, in the image's own units.
        guidance: Prompts in the ROI's frame.
        spec: Channels in their order, and the dtype.

    Returns:
        Array [channel, z, y, x], float16 or float32 as ``spec.dtype`` says.
    """
    result = allocate_input(_shape(image), spec)
    write_image_channels(image, guidance, spec, out=result)
    write_guidance_channels(guidance, spec, out=result)
    return result


def allocate_input(shape: Shape, spec: InputSpec) -> Floating:
    """Allocate the tensor that :func:`write_image_channels` and :func:`write_guidance_channels` fill, in any order.

    Args:
        shape: Shape of the ROI's grid, [z, y, x].
        spec: Channels and dtype.
    """
    return np.empty((len(spec.channels), *shape), np.float16 if spec.dtype == "FP16" else np.float32)


def write_image_channels(image: Float, guidance: PromptGuidance, spec: InputSpec, *, out: Floating) -> None:
    """Write the image channels.

    Args:
        image: Voxels [z, y, x] of the ROI's grid, in the image's own units.
        guidance: Prompts in the ROI's frame.
        spec: Channels in their order, and the dtype.
        out: Tensor of :func:`allocate_input`.
    """
    image = np.ascontiguousarray(image, dtype=np.float32)
    # Several channels often use the same percentiles.
    percentiles = cache(partial(estimate_percentiles, image))
    for made, channel in zip(out, spec.channels, strict=True):
        if isinstance(channel, ImageChannel):
            fit_window(
                image, channel.intensity, extremes=guidance.extremes, box=guidance.box, percentiles=percentiles
            ).apply(image, made)


def write_guidance_channels(guidance: PromptGuidance, spec: InputSpec, *, out: Floating) -> None:
    """Write the guidance maps.

    Args:
        guidance: Prompts in the ROI's frame.
        spec: Channels in their order, and the dtype.
        out: Tensor of :func:`allocate_input`.
    """
    for made, channel in zip(out, spec.channels, strict=True):
        if not isinstance(channel, ImageChannel):
            _write_map(channel, guidance, _shape(made), out=made)


def update_input(previous_input: Floating, guidance: PromptGuidance, spec: InputSpec) -> Floating:
    """Copy an input with new clicks and a new previous answer, as :func:`network_input` would build it.

    Args:
        previous_input: Tensor [channel, z, y, x] of :func:`network_input` or of this function.
        guidance: Prompts now, with the same box and extreme points in the same ROI.
        spec: Channels and dtype of ``previous_input``.
    """
    result = previous_input.copy()
    for made, channel in zip(result, spec.channels, strict=True):
        if isinstance(channel, ClickChannel | StrokeChannel | PreviousChannel):
            _write_correction(channel, guidance, _shape(made), out=made)
    return result


def volume_input(image: Float, spec: InputSpec) -> Floating:
    """Build the tensor of a whole volume, of which a segmentation network sees one patch at a time.

    Large volumes are windowed some slices at a time, so that little memory is needed besides image and tensor.

    Args:
        image: Whole volume [z, y, x] on the network's spacing, in its own units; statistics cover all its voxels.
        spec: Image channels by percentile, range or z-score in their order, and the dtype.

    Returns:
        Array [channel, z, y, x], float16 or float32 as ``spec.dtype`` says.
    """
    whole = np.array([[-1.0] * 3, [1.0] * 3])
    no_points = _no_points()
    result = np.empty((len(spec.channels), *image.shape), np.float16 if spec.dtype == "FP16" else np.float32)
    percentiles = cache(partial(estimate_percentiles, image))
    thick = max(1, _PIECE // image[0].size)
    for made, channel in zip(result, spec.channels, strict=True):
        assert isinstance(channel, ImageChannel)  # SegmentationSpec accepts no others
        window = fit_window(image, channel.intensity, extremes=no_points, box=whole, percentiles=percentiles)
        for first in range(0, len(image), thick):
            slices = slice(first, first + thick)
            window.apply(np.ascontiguousarray(image[slices]), made[slices])
    return result


def _write_map(channel: Channel, guidance: PromptGuidance, shape: Shape, *, out: Floating) -> None:
    """Write one guidance map."""
    match channel:
        case HeatmapChannel():
            heatmap(guidance.extremes, shape=shape, sigma=channel.sigma, out=out)
        case ClickChannel() | StrokeChannel() | PreviousChannel():
            _write_correction(channel, guidance, shape, out=out)
        case FieldOfViewChannel():
            if (guidance.image_bounds[0] <= -1.0).all() and (guidance.image_bounds[1] >= 1.0).all():
                out[...] = 1.0
            else:
                field_of_view_map(guidance.image_bounds, shape=shape, out=out)
        case EllipsoidChannel():
            ellipsoid_map(guidance.box, shape=shape, out=out)
        case HullChannel():
            hull_map(guidance.extremes if len(guidance.extremes) else _corners(guidance.box), shape=shape, out=out)


def _write_correction(
    channel: ClickChannel | StrokeChannel | PreviousChannel, guidance: PromptGuidance, shape: Shape, *, out: Floating
) -> None:
    """Write a channel that changes with every click."""
    if isinstance(channel, PreviousChannel):
        _write_values(0.0 if guidance.previous is None else guidance.previous, out)
    elif isinstance(channel, StrokeChannel):
        out[...] = guidance.strokes.get((PromptKind(channel.prompt), channel.sign == "positive"), 0.0)
    else:
        clicks = guidance.positive if channel.sign == "positive" else guidance.negative
        heatmap(clicks, shape=shape, sigma=channel.sigma, out=out)


def _write_values(values: Float | float, out: Floating) -> None:
    """Write one channel's values, or a constant."""
    if isinstance(values, float) or out.dtype != np.float16:
        out[...] = values
    else:
        kernels.to_half(np.ascontiguousarray(values), out)


def _corners(box: Points) -> Points:
    """The eight corners of a box given by two, shape [8, 3]."""
    return np.array(list(itertools.product(*box.T)))


def _shape(image: Floating) -> Shape:
    return image.shape[0], image.shape[1], image.shape[2]
