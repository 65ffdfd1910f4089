"""Segmenting whole cases with a window that slides, and Dice against their labels."""

from __future__ import annotations

import math

import numpy as np
import torch
from monai.inferers.utils import sliding_window_inference
from torch import nn

from sixpoint._typing import Counts
from sixpoint.model_spec import SegmentationSpec
from sixpoint.preprocessing import Roi
from trainer.data.cases import PreparedCase

__all__ = ["dice_per_label", "segment_case"]


def segment_case(network: nn.Module, case: PreparedCase, spec: ModelSpec, *, device: torch.device) -> Counts:
    """The labels that a network gives a case.

    Args:
        network: Logits [batch, label, z, y, x] from channels [batch, channel, z, y, x], in evaluation mode.
        case: To segment.
        spec: Patch, overlap, blending and padding, as where it is served.
        device: Where the network is.

    Returns:
        Labels [z, y, x] on the canonical image's own grid, where probabilities are resampled to, not labels.
    """
    channels = torch.from_numpy(np.array(case.channels, np.float32))[None]
    with torch.inference_mode():
        # Probabilities are blended, not logits: as the gateway does it, which gets nothing else.
        blended = sliding_window_inference(
            channels,
            roi_size=spec.input_shape[1:],
            sw_batch_size=2,
            predictor=lambda patches: torch.softmax(network(patches).float(), dim=1),
            overlap=spec.patch.overlap,
            mode=spec.patch.blend,
            padding_mode=spec.patch.padding,
            # MONAI takes no value where there is none to take.
            cval=spec.patch.padding_value if spec.patch.padding == "constant" else 0.0,
            sw_device=device,
            device="cpu",
        )
        assert isinstance(blended, torch.Tensor)
        probabilities = blended[0].numpy()
    z, y, x = case.truth.shape
    upper = (x - 0.5, y - 0.5, z - 0.5)
    roi = Roi((-0.5, -0.5, -0.5), upper, (probabilities.shape[3], probabilities.shape[2], probabilities.shape[1]))
    # One label after the other: all of them on a large image's grid would not fit into memory.
    most, _ = roi.restore(probabilities[0], image_size=(x, y, z))
    labels = np.zeros(most.shape, np.uint8)
    for label in range(1, len(probabilities)):
        values, _ = roi.restore(probabilities[label], image_size=(x, y, z))
        labels[values > most] = label
        most = np.maximum(most, values)
    return labels


def dice_per_label(found: Counts, truth: Counts, *, count: int) -> list[float]:
    """Dice of the labels 1 to ``count`` in two arrays [z, y, x]; NaN for a label that neither has."""
    result = []
    for label in range(1, 1 + count):
        a, b = found == label, truth == label
        total = int(a.sum()) + int(b.sum())
        result.append(2.0 * int((a & b).sum()) / total if total else math.nan)
    return result
