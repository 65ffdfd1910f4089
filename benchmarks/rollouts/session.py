"""A session of the gateway without the gateway: its pure functions, and a network of PyTorch."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import nn

from gateway.core.annotation.postprocess import postprocess, render_mask
from gateway.core.annotation.preprocess import NetworkInput, Prediction, prepare
from gateway.core.annotation.prompt_state import ObjectPrompts, add_to_object, read_prompts
from gateway.core.images.reductions import Reductions
from sixpoint._typing import Array, Counts
from sixpoint.mask import Mask
from sixpoint.model_spec import ModelSpec
from sixpoint.prompts import Prompt
from sixpoint.volume import Volume
from trainer.training.learner import FORMAT
from trainer.training.start import find_start, start_network

__all__ = ["LocalNetwork", "LocalSession"]


class LocalNetwork:
    """A network as it is served: halves in, 255ths out.

    Args:
        path: Checkpoint, ONNX file, or folder of a run, a model or a version.
        bfloat16: Whether to compute in bfloat16: faster on processors with AMX; the answers differ a little.
    """

    def __init__(self, path: Path, *, bfloat16: bool = False) -> None:
        start = find_start(path)
        if start.spec is None:
            raise SystemExit(f"{path} has no spec beside it")
        self.spec: ModelSpec = start.spec
        self._bfloat16 = bfloat16
        network = start_network(start.spec, start).eval()
        self._network: nn.Module = network.to(memory_format=FORMAT)  # type: ignore[call-overload]

    def __call__(self, tensor: Array) -> Counts:
        """Return the probabilities [z, y, x] in 255ths for an input [channel, z, y, x]."""
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=self._bfloat16):
            channels = torch.from_numpy(np.asarray(tensor, np.float32)[None])
            logits = self._network(channels.contiguous(memory_format=FORMAT))
            counts: Counts = torch.round(torch.sigmoid(logits[0, 0].float()) * 255).to(torch.uint8).numpy()
        return counts


class LocalSession:
    """Annotates one image; has what :func:`trainer.evaluation.protocol.evaluate_structure` asks of a session.

    Args:
        image: Image to annotate.
        spec: Spec of the network.
        network: Function from an input [channel, z, y, x] to probabilities [z, y, x] in 255ths.
    """

    def __init__(self, image: Volume, spec: ModelSpec, network: Callable[[Array], Counts]) -> None:
        self._geometry = image.geometry
        self._reduced = Reductions(image.geometry.orientation.to_canonical(image.array))
        self._spec, self._network = spec, network
        self._prompts: ObjectPrompts | None = None
        self._prediction: Prediction | None = None
        self._input: NetworkInput | None = None

    def annotate(self, *prompts: Prompt) -> Mask:
        """Return the mask of the object after these prompts; extreme points and boxes start a new object."""
        geometry, threshold = self._geometry, self._spec.output.threshold
        batch = read_prompts(prompts, geometry=geometry)
        if batch.extent is not None:
            self._prompts = self._prediction = self._input = None
        _, self._prompts = add_to_object(self._prompts, batch, model="local", spec=self._spec, geometry=geometry)
        self._input = prepare(
            self._reduced,
            self._prompts,
            previous=self._prediction,
            previous_input=self._input,
            geometry=geometry,
            spec=self._spec,
        )
        self._prediction = postprocess(
            self._network(self._input.tensor), self._input, geometry=geometry, threshold=threshold
        )
        piece, (x, y, z) = render_mask(self._prediction, self._prompts, geometry=geometry, threshold=threshold)
        array = np.zeros(geometry.size[::-1], np.uint8)
        array[z : z + piece.shape[0], y : y + piece.shape[1], x : x + piece.shape[2]] = piece
        return Mask(array, geometry, "local", "local")
