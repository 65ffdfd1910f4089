"""Segment whole cases with a sliding window, and compute Dice per label."""

from __future__ import annotations

import math

import numpy as np
import torch
from monai.inferers.utils import sliding_window_inference
from torch import nn

from sixpoint._typing import Counts
from sixpoint.metrics import dice
from sixpoint.model_spec import SegmentationSpec
from sixpoint.preprocessing import Roi
from trainer.data.cases import PreparedCase

__all__ = ["dice_per_label", "segment_case"]


def segment_case(network: nn.Module, case: PreparedCase, spec: SegmentationSpec, *, device: torch.device) -> Counts:
    """Compute a network's label map of a case, as the gateway does.

    Args:
        network: Network in evaluation mode: logits [batch, label, z, y, x] from channels [batch, channel, z, y, x].
        case: Case to segment.
        spec: Patch, overlap, blending and padding.
        device: Device of the network.

    Returns:
        Labels [z, y, x] on the grid of the canonical image. Probabilities are resampled to it, not labels.
    """
    channels = torch.from_numpy(np.array(case.channels, np.float32))[None]
    with torch.inference_mode():
        # Probabilities are blended, not logits: the gateway receives nothing else from Triton.
        blended = sliding_window_inference(
            channels,
            roi_size=spec.input_shape[1:],
            sw_batch_size=2,
            predictor=lambda patches: torch.softmax(network(patches).float(), dim=1),
            overlap=spec.patch.overlap,
            mode=spec.patch.blend,
            sigma_scale=spec.patch.sigma,
            padding_mode=spec.patch.padding,
            # MONAI accepts a value with constant padding only.
            cval=spec.patch.padding_value if spec.patch.padding == "constant" else 0.0,
            sw_device=device,
            device="cpu",
        )
        assert isinstance(blended, torch.Tensor)
        probabilities = blended[0].numpy()
    z, y, x = case.truth.shape
    upper = (x - 0.5, y - 0.5, z - 0.5)
    roi = Roi((-0.5, -0.5, -0.5), upper, (probabilities.shape[3], probabilities.shape[2], probabilities.shape[1]))
    # One label after the other: all of them on the grid of a large image would not fit into memory.
    highest, _ = roi.restore(probabilities[0], image_size=(x, y, z))
    labels = np.zeros(highest.shape, np.uint8)
    for label in range(1, len(probabilities)):
        values, _ = roi.restore(probabilities[label], image_size=(x, y, z))
        labels[values > highest] = label
        highest = np.maximum(highest, values)
    return labels


def dice_per_label(predicted: Counts, truth: Counts, *, count: int) -> list[float]:
    """Compute the Dice of the labels 1 to ``count`` in two arrays [z, y, x]; NaN for a label that is in neither."""
    result = []
    for label in range(1, 1 + count):
        a, b = predicted == label, truth == label
        result.append(dice(a, b) if a.any() or b.any() else math.nan)
    return result
