"""Does the exported model answer as the network does? Asked with inputs like those that it will get."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnxruntime as ort
import torch

from exporter.graph.network import ProbabilityNetwork
from sixpoint._typing import Array, Float, Floating
from sixpoint.errors import FailedPrecondition
from sixpoint.model_spec import ModelSpec, Task
from sixpoint.preprocessing import PromptGuidance, network_input, volume_input

__all__ = ["check_parity", "probabilities", "run_onnx", "synthetic_batch"]


def check_parity(network: ProbabilityNetwork, spec: ModelSpec, path: Path, *, tolerance: float) -> float:
    """Compare the network with its ONNX file, at batch 1 and 2.

    Args:
        network: In evaluation mode.
        spec: Of the network.
        path: The ONNX file.
        tolerance: Largest difference of a probability (0..1) to accept.

    Returns:
        The largest difference found.

    Raises:
        FailedPrecondition: It is larger than the tolerance, or a probability is not a number.
    """
    largest = 0.0
    for size in (1, 2):
        batch = synthetic_batch(spec, size)
        with torch.inference_mode():
            expected = probabilities(network(torch.from_numpy(batch)).numpy())
        found = probabilities(run_onnx(path, spec, batch))
        if not (np.isfinite(expected).all() and np.isfinite(found).all()):
            raise FailedPrecondition("the network answers an ordinary image with NaN or infinity")
        if expected.shape != found.shape:
            raise FailedPrecondition(f"the ONNX model returns {list(found.shape)}, PyTorch {list(expected.shape)}")
        largest = max(largest, float(np.abs(expected - found).max()))
    if largest > tolerance:
        raise FailedPrecondition(
            f"the ONNX model is {largest:.4f} of a probability off PyTorch; {tolerance:.4f} is allowed (--tolerance)"
        )
    return largest


def run_onnx(path: Path, spec: ModelSpec, batch: Array) -> Array:
    """What the ONNX file makes of a batch [batch, channel, z, y, x], on the CPU."""
    options = ort.SessionOptions()
    options.log_severity_level = 3  # errors, which also come as exceptions
    session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    result: Array = session.run([spec.output.name], {spec.input.name: batch})[0]
    return result


def probabilities(output: Array) -> Float:
    """A model's output as probabilities in 0..1, whatever type it has on the wire."""
    return output.astype(np.float32) / np.float32(255 if output.dtype == np.uint8 else 1)


def synthetic_batch(spec: ModelSpec, size: int) -> Floating:
    """Inputs [batch, channel, z, y, x] of smooth images, each with a bright ellipsoid and its six extreme points.

    From the second on, with an answer too small and two clicks that correct it.
    """
    shape = spec.input_shape[1:]
    axes = np.meshgrid(*((2.0 * np.arange(n) + 1.0) / n - 1.0 for n in shape), indexing="ij")
    batch = []
    for index in range(size):
        random = np.random.default_rng(index)
        radii = random.uniform(0.5, 0.7, 3)  # along (x, y, z), in the ROI's frame of -1 to 1
        radius = np.sqrt(sum((axis / r) ** 2 for axis, r in zip(axes, radii[::-1], strict=True)))
        waves = sum(np.sin(axis * random.uniform(2, 6) + random.uniform(0, 6)) for axis in axes)
        image = 40.0 + 15.0 * waves + 80.0 / (1.0 + np.exp(12.0 * (radius - 1.0))) + random.normal(0, 5, shape)
        if spec.task is Task.SEGMENTATION:
            batch.append(volume_input(image.astype(np.float32), spec.input))
            continue
        points = np.concatenate([np.diag(radii), np.diag(-radii)])
        guide = PromptGuidance(
            box=np.stack([-radii, radii]), extremes=points, image_bounds=np.array([[-1.2] * 3, [0.9] * 3])
        )
        if index:
            previous = (1.0 / (1.0 + np.exp(12.0 * (radius - 0.8)))).astype(np.float32)
            guide = replace(guide, positive=points[:1] * 0.9, negative=points[1:2] * 1.1, previous=previous)
        batch.append(network_input(image.astype(np.float32), guide, spec.input))
    return np.stack(batch)
