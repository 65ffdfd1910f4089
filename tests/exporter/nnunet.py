"""A network as nnU-Net v2 makes it, for an anisotropic window, and its ONNX file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import nn

__all__ = ["PlainConvUNet", "ct_spec", "write_onnx"]

LOW, HIGH, MEAN, DEVIATION = -150.0, 250.0, 62.5, 87.5
"""``foreground_intensity_properties_per_channel`` of ``plans.json``: percentiles 0.5 and 99.5, mean and std."""
_FILTERS = (8, 16, 16)
_STRIDES = ((1, 1, 1), (1, 2, 2), (2, 2, 2))
_KERNELS = ((1, 3, 3), (3, 3, 3), (3, 3, 3))


class PlainConvUNet(nn.Module):
    """Convolutions with instance norms and leaky ReLUs, transposed convolutions, and a head at every resolution.

    Args:
        channels: Channels of the output: background and labels.
        gain: Factor of the logits, so that labels are decided.
    """

    def __init__(self, channels: int, *, gain: float = 20.0) -> None:
        super().__init__()
        self.gain = gain
        sizes = zip((1, *_FILTERS[:-1]), _FILTERS, _STRIDES, _KERNELS, strict=True)
        self.encoder = nn.ModuleList(_stage(*size) for size in sizes)
        levels = range(len(_FILTERS) - 1, 0, -1)
        self.up = nn.ModuleList(
            nn.ConvTranspose3d(_FILTERS[n], _FILTERS[n - 1], _STRIDES[n], _STRIDES[n]) for n in levels
        )
        self.decoder = nn.ModuleList(
            _stage(2 * _FILTERS[n - 1], _FILTERS[n - 1], (1, 1, 1), _KERNELS[n - 1]) for n in levels
        )
        self.heads = nn.ModuleList(nn.Conv3d(_FILTERS[n - 1], channels, 1) for n in levels)

    def forward(self, value: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Return the logits in full resolution, then those of deep supervision."""
        skips = []
        for stage in self.encoder:
            value = stage(value)
            skips.append(value)
        outputs = []
        for level, (up, stage, head) in enumerate(zip(self.up, self.decoder, self.heads, strict=True)):
            value = stage(torch.cat([up(value), skips[-2 - level]], dim=1))
            outputs.append(head(value) * self.gain)
        return tuple(outputs[::-1])


def _stage(inputs: int, outputs: int, stride: tuple[int, ...], kernel: tuple[int, ...]) -> nn.Sequential:
    padding = [edge // 2 for edge in kernel]
    layers: list[nn.Module] = []
    for channels, step in ((inputs, stride), (outputs, (1, 1, 1))):
        layers += [
            nn.Conv3d(channels, outputs, kernel, step, padding),  # type: ignore[arg-type]
            nn.InstanceNorm3d(outputs, affine=True),
            nn.LeakyReLU(0.01),
        ]
    return nn.Sequential(*layers)


def write_onnx(network: nn.Module, path: Path, *, size: tuple[int, int, int]) -> None:
    """Write the ONNX file of a network, with every axis but the channels dynamic.

    Args:
        network: The network.
        path: The file.
        size: Size of the window along (z, y, x).
    """
    names = ["input", "output", "half"]
    torch.onnx.export(
        network.eval(),
        (torch.zeros(1, 1, *size),),
        path,
        dynamo=False,
        input_names=names[:1],
        output_names=names[1:],
        opset_version=17,
        dynamic_axes={name: {0: "batch", 2: "z", 3: "y", 4: "x"} for name in names},
    )


def ct_spec(*, size: tuple[int, int, int], spacing: float, labels: list[str]) -> dict[str, Any]:
    """Return the spec of a network of CT in the terms of ``plans.json``.

    Args:
        size: Size of the window along (z, y, x), as ``patch_size`` there.
        spacing: Millimetres between voxels.
        labels: Names of the labels after the background.
    """
    middle, half = (LOW + HIGH) / 2, (HIGH - LOW) / 2
    return {
        "task": "segmentation",
        "prompts": [],
        "labels": labels,
        "patch": {
            "size": size[::-1],
            "spacing": [spacing] * 3,
            "average": "logits",
            "padding_value": (MEAN - middle) / half,  # nnU-Net pads with 0 after it has normalised
        },
        "input": {"channels": [{"kind": "image", "intensity": {"method": "range", "low": LOW, "high": HIGH}}]},
        "output": {"dtype": "FP16"},
        # nnU-Net leaves images as they are stored, and NIfTI's axes run to R, A and S.
        "network": {
            "name": "ONNX",
            "axes": "SAR",
            "scale": [half / DEVIATION],
            "offset": [(middle - MEAN) / DEVIATION],
        },
    }
