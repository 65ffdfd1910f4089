"""Turn an image and prompts into a network's input: pure functions."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from gateway.core.annotation.initial_mask import sample_mask
from gateway.core.annotation.prompt_state import ObjectPrompts
from gateway.core.annotation.strokes import clicks_for_network, positive_corners, stroke_cells, write_stroke_cells
from gateway.core.runtime import decode_probabilities
from sixpoint._typing import Counts, Floating, Size
from sixpoint.concurrency import PairRunner, run_serially
from sixpoint.geometry import Geometry
from sixpoint.model_spec import STROKES, ModelSpec, PromptKind
from sixpoint.preprocessing import (
    PromptGuidance,
    Roi,
    SliceableArray,
    allocate_input,
    update_input,
    write_guidance_channels,
    write_roi_channels,
)

__all__ = [
    "NetworkInput",
    "Prediction",
    "estimate_mask_memory",
    "estimate_prompt_memory",
    "estimate_render_memory",
    "prediction_from_mask",
    "prepare",
]


# Copies of a tensor at once: input and output in NumPy, and one of them again in a message.
_TENSORS = 3
# Bytes for each voxel of the ROI: one of the mask, two of what is cut out of the image.
_BYTES_PER_VOXEL = 3
# Some slices of the image as numbers, windowed, and resampled along one axis.
_PIECE_BYTES = 3 * 2**24
# Bytes for each voxel of which statistics are taken: as a number, and once more in order.
_BYTES_PER_STATISTIC = 8
# Bytes for each voxel of an initial mask's box: one of the mask, which stays, and the copies that are cut out of it.
_BYTES_PER_MASK_VOXEL = 3


@dataclass(frozen=True, eq=False)
class Prediction:
    """Probabilities of one object, which the next clicks correct.

    Attributes:
        probabilities: Probabilities [z, y, x] on the ROI's grid, in 255ths.
        roi: Region of interest, in canonical voxel indices.
    """

    probabilities: Counts
    roi: Roi


@dataclass(frozen=True, eq=False)
class NetworkInput:
    """A network's input for one object, with what it was made from.

    Attributes:
        tensor: Input of the network, [channel, z, y, x].
        roi: Region of interest, in canonical voxel indices.
        guidance: Prompts in the ROI's frame, and the previous prediction on the ROI's grid.
        prompts: Prompts in canonical voxel indices.
        spec: Spec of the model.
    """

    tensor: Floating
    roi: Roi
    guidance: PromptGuidance
    prompts: ObjectPrompts
    spec: ModelSpec

    @property
    def nbytes(self) -> int:
        """Bytes of memory in use."""
        return self.tensor.nbytes + (0 if self.guidance.previous is None else self.guidance.previous.nbytes)

    def shares_fixed_channels(self, roi: Roi, guidance: PromptGuidance, spec: ModelSpec) -> bool:
        """Whether the input for these would differ only in the channels of clicks and of the previous prediction."""
        return (
            self.spec is spec
            and self.roi == roi
            and np.array_equal(self.guidance.box, guidance.box)
            and np.array_equal(self.guidance.extremes, guidance.extremes)
        )


def prepare(
    reduce_image: Callable[[Size], SliceableArray],
    prompts: ObjectPrompts,
    *,
    previous: Prediction | None = None,
    previous_input: NetworkInput | None = None,
    geometry: Geometry,
    spec: ModelSpec,
    run_pair: PairRunner = run_serially,
) -> NetworkInput:
    """Cut out the ROI, resample and normalise it, and draw the guidance channels.

    Args:
        reduce_image: Function from a block's size (x, y, z) in voxels to the canonical image's block means [z, y, x];
            see :mod:`sixpoint.preprocessing.roi`.
        prompts: Prompts for the object so far.
        previous: Prediction that the new clicks correct; None for a new object.
        previous_input: Input of the previous call on the same image, whose unchanged channels are reused.
        geometry: Geometry of the image as uploaded.
        spec: Spec of the model.
        run_pair: Function that runs the image channels and the guidance channels.
    """
    canonical = geometry.canonical()
    extent, clicks = prompts.extent, prompts.clicks
    roi = _place_roi(prompts, geometry=canonical, spec=spec)
    probabilities = None
    if previous is None and extent.mask is not None:
        previous = prediction_from_mask(prompts, geometry=geometry, spec=spec)
    if previous is not None:
        probabilities = decode_probabilities(previous.probabilities)
        if previous.roi != roi:
            probabilities = previous.roi.transfer(probabilities, roi)
        write_stroke_cells(probabilities, prompts.strokes[len(prompts.strokes) - prompts.new_strokes :], roi)
    drawn_kinds = STROKES & set(spec.prompts)
    clicks = clicks_for_network(clicks, prompts.strokes, kinds=drawn_kinds)
    guidance = PromptGuidance.in_roi(
        roi,
        box=extent.box,
        # A model that takes boxes only is given no points that nobody clicked.
        extremes=() if extent.estimated and PromptKind.EXTREME_POINTS not in spec.prompts else extent.extremes,
        positive=clicks.points[clicks.positive],
        negative=clicks.points[~clicks.positive],
        previous=probabilities,
        strokes=stroke_cells(prompts.strokes, roi, kinds=drawn_kinds),
        image_size=canonical.size,
    )
    drawn = _place_clicks(guidance, spec, image_size=canonical.size)
    if previous_input is not None and previous_input.shares_fixed_channels(roi, guidance, spec):
        tensor = update_input(previous_input.tensor, drawn, spec.input)
    else:
        x, y, z = roi.size
        tensor = allocate_input((z, y, x), spec.input)
        run_pair(
            lambda: write_roi_channels(reduce_image, roi, guidance, spec, out=tensor),
            lambda: write_guidance_channels(drawn, spec.input, out=tensor),
        )
    return NetworkInput(tensor, roi, guidance, prompts, spec)


def _place_roi(prompts: ObjectPrompts, *, geometry: Geometry, spec: ModelSpec) -> Roi:
    """Place the ROI round the prompts for an object; ``geometry`` is the canonical one."""
    # The ROI includes the clicked voxels, not only the points: a voxel whose centre is outside cannot be corrected.
    clicks = np.concatenate([prompts.clicks.voxels(geometry.size), positive_corners(prompts.strokes)])
    return Roi.from_points(
        prompts.extent.box, clicks=clicks, spacing=geometry.spacing, spec=spec.roi, image_size=geometry.size
    )


def _place_clicks(guidance: PromptGuidance, spec: ModelSpec, *, image_size: Size) -> PromptGuidance:
    """Return the prompts as the network's channels show them."""
    if spec.roi.click_placement == "exact":
        return guidance
    axes = spec.network.axes if spec.network else "SPL"
    return guidance.with_clicks_in_cells(spec.roi.size, image_size=image_size, axes=axes)


def prediction_from_mask(prompts: ObjectPrompts, *, geometry: Geometry, spec: ModelSpec) -> Prediction:
    """Resample an initial mask onto the ROI's grid, as the first prediction.

    Args:
        prompts: Prompts for an object that starts with an initial mask.
        geometry: Geometry of the image as uploaded.
        spec: Spec of the model that will correct the mask.
    """
    canonical = geometry.canonical()
    roi = Roi.from_points(prompts.extent.box, spacing=canonical.spacing, spec=spec.roi, image_size=canonical.size)
    return Prediction(sample_mask(prompts.extent, roi, size=canonical.size), roi)


def estimate_prompt_memory(prompts: ObjectPrompts, *, geometry: Geometry, spec: ModelSpec) -> int:
    """Estimate the bytes that answering needs: tensors, the ROI's voxels, and the mask."""
    canonical = geometry.canonical()
    size = canonical.size
    roi = _place_roi(prompts, geometry=canonical, spec=spec)
    low, high = roi.voxel_bounds(size)
    voxels = math.prod(b - a for a, b in zip(low, high, strict=True))
    tensors = _TENSORS * 4 * math.prod(spec.input_shape)
    return tensors + _BYTES_PER_VOXEL * voxels + _voxel_memory(spec, voxels) + estimate_mask_memory(prompts)


def _voxel_memory(spec: ModelSpec, voxels: int) -> int:
    """Estimate the bytes that voxels take which are read one by one, not as block means."""
    if spec.roi.resampling == "smoothed":
        return 0
    windows = [channel.intensity for channel in spec.input.channels if channel.kind == "image"]
    fitted = spec.roi.windowed_first and any(window.method != "range" for window in windows)
    return _PIECE_BYTES + (_BYTES_PER_STATISTIC * voxels if fitted else 0)


def estimate_render_memory(prediction: Prediction, prompts: ObjectPrompts, *, geometry: Geometry) -> int:
    """Estimate the bytes that rendering a stored prediction needs."""
    low, high = prediction.roi.voxel_bounds(geometry.canonical().size)
    voxels = math.prod(b - a for a, b in zip(low, high, strict=True))
    return _BYTES_PER_VOXEL * voxels + estimate_mask_memory(prompts)


def estimate_mask_memory(prompts: ObjectPrompts) -> int:
    """Estimate the bytes that the initial mask of an object needs; 0 without one."""
    return _BYTES_PER_MASK_VOXEL * prompts.extent.mask_voxels
