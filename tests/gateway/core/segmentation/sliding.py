"""What tests of segmentation share: specs, a network whose answers are known, and MONAI's way to the same result."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from monai.inferers.utils import sliding_window_inference

from gateway.core.images import StoredImage
from gateway.core.runtime import Admission, Deadline, InferenceResult
from gateway.core.runtime.catalog import Candidate, Catalog, Model
from gateway.core.segmentation.events import LabelMask, SegmentationEvent
from gateway.core.segmentation.segmenter import Segmenter
from sixpoint.errors import ImageNotFound
from sixpoint.mask import unpack
from sixpoint.model_spec import (
    ImageChannel,
    InputSpec,
    Intensity,
    ModelSpec,
    OutputSpec,
    PatchSpec,
    SegmentationSpec,
    Task,
)
from sixpoint.preprocessing import Roi, volume_channels
from sixpoint.volume import Volume
from tests.support.callers import NOBODY

Predict = Callable[[np.ndarray], np.ndarray]


def segmentation_spec(
    labels: int = 2, *, dtype: str = "FP32", exclusive: bool = True, **patch: Any
) -> SegmentationSpec:
    """A spec of a patch of 16 x 12 x 8 voxels (x, y, z) of 1 mm, unless told otherwise."""
    return SegmentationSpec(
        task=Task.SEGMENTATION,
        prompts=(),
        labels=tuple(f"part {number}" for number in range(1, labels + 1)),
        patch=PatchSpec(**({"size": (16, 12, 8), "spacing": (1.0, 1.0, 1.0)} | patch)),
        input=InputSpec(dtype="FP32", channels=(ImageChannel(intensity=Intensity(method="percentile")),)),
        output=OutputSpec(dtype=dtype, exclusive=exclusive),  # type: ignore[arg-type]
    )


def softmax_of(tensor: np.ndarray, spec: ModelSpec) -> np.ndarray:
    """Probabilities that depend on a voxel's value and on its place in the patch, as a network's do."""
    channels, *shape = spec.output_shape
    place = sum(
        np.cos(np.linspace(0, 3, n)).reshape([-1 if a == b else 1 for b in range(3)]) for a, n in enumerate(shape)
    )
    logits = np.stack([np.sin((3 + k) * tensor[0].astype(np.float32) + k) + 0.3 * k * place for k in range(channels)])
    odds = np.exp(3 * logits)
    return (odds / odds.sum(axis=0)).astype(np.float32)


@dataclass
class Network:
    """Answers patches in the gateway's place of Triton; notes how many it had at once, and what became of them."""

    spec: ModelSpec
    predict: Predict | None = None
    seconds: float = 0.0
    running: int = 0
    max_running: int = 0
    answered: int = 0
    cancelled: int = 0
    versions: list[str] = field(default_factory=lambda: ["1"])
    asked: set[str] = field(default_factory=set)
    sent_with: list[float] = field(default_factory=list)

    async def infer(self, model: Model, tensor: np.ndarray, *, timeout: float, version: str = "") -> InferenceResult:
        self.running += 1
        self.asked.add(version)
        self.sent_with.append(self.seconds)
        self.max_running = max(self.max_running, self.running)
        try:
            await asyncio.sleep(self.seconds)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        finally:
            self.running -= 1
        self.answered += 1
        output = self.predict(tensor) if self.predict else softmax_of(tensor, self.spec)
        if self.spec.output.dtype == "UINT8":
            output = np.rint(255 * output).astype(np.uint8)
        return InferenceResult(output, self.versions[min(self.answered, len(self.versions)) - 1])


@dataclass
class Images:
    """One image, known by the digest ``image``."""

    volume: Volume

    async def open(self, digest: str, *, tenant: str) -> StoredImage:
        if digest != "image":
            raise ImageNotFound("no image with this digest is here; upload it first")
        return StoredImage(digest, self.volume)


def segmenter(
    volume: Volume,
    network: Network,
    executor: ThreadPoolExecutor,
    *,
    memory: int = 2**30,
    in_flight: int = 3,
    candidate: Candidate | None = None,
) -> Segmenter:
    """A segmenter of one image by one model, ``parts``."""
    catalog = Catalog()
    catalog.update({"parts": Model("parts", "1", network.spec, candidate)})
    return Segmenter(
        images=Images(volume),
        catalog=catalog,
        inference=network,
        executor=executor,
        admission=Admission(budget=memory, max_active=2),
        memory=memory,
        in_flight=in_flight,
    )


def segment(
    volume: Volume, network: Network, *, labels: tuple[str, ...] = (), scored: bool = False, **options: Any
) -> list[SegmentationEvent]:
    """All that is told of the segmentation of a volume."""

    async def run() -> list[SegmentationEvent]:
        with ThreadPoolExecutor(2) as executor:
            made = segmenter(volume, network, executor, **options)
            deadline = Deadline.after(60)
            events = made.segment("image", "parts", principal=NOBODY, labels=labels, deadline=deadline, scored=scored)
            return [event async for event in events]

    return asyncio.run(run())


def labels_of(events: list[SegmentationEvent], volume: Volume) -> np.ndarray:
    """The labels [z, y, x] that events tell."""
    result = np.zeros(volume.array.shape, np.uint8)
    for event in events:
        if isinstance(event, LabelMask):
            result[unpack(event.mask, volume.geometry.size) > 0] = event.number
    return result


def by_monai(volume: Volume, spec: ModelSpec, predict: Callable[[torch.Tensor], torch.Tensor]) -> np.ndarray:
    """Probabilities [channel, z, y, x] on the image's own grid, as MONAI's sliding window makes them of a network.

    ``predict`` makes probabilities [batch, channel, z, y, x] of patches.
    """
    assert isinstance(spec, SegmentationSpec)
    geometry = volume.geometry.canonical()
    roi = Roi.for_segmentation(geometry.size, spacing=geometry.spacing, spec=spec)
    channels = volume_channels(volume.geometry.orientation.to_canonical(volume.array), roi, spec)
    with torch.inference_mode():
        blended = sliding_window_inference(
            torch.from_numpy(channels.astype(np.float32))[None],
            roi_size=spec.input_shape[1:],
            sw_batch_size=2,
            predictor=predict,
            overlap=spec.patch.overlap,
            mode=spec.patch.blend,
            padding_mode=spec.patch.padding,
            cval=spec.patch.padding_value if spec.patch.padding == "constant" else 0.0,
        )
    assert isinstance(blended, torch.Tensor)
    restored = [roi.restore(channel, image_size=geometry.size)[0] for channel in blended[0].numpy()]
    return np.stack([volume.geometry.orientation.from_canonical(one) for one in restored])
