"""Segmenting a whole image without prompts: a window slides over it, patch by patch through a network."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from concurrent.futures import Executor
from contextlib import aclosing
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import TypeVar

import numpy as np

from gateway.core.images.stored_image import ImageSource
from gateway.core.runtime.admission import Admission
from gateway.core.runtime.catalog import Catalog, Model
from gateway.core.runtime.deadline import Deadline
from gateway.core.runtime.inference import Inference, check_finite, decode_probabilities
from gateway.core.runtime.stage import Stage
from gateway.core.segmentation.aggregation import PatchAggregator
from gateway.core.segmentation.events import (
    LabelMask,
    SegmentationEvent,
    SegmentationProgress,
    SegmentationSummary,
    pack_label,
)
from gateway.core.segmentation.job import SegmentationJob, estimate_segmentation_memory, select_labels
from gateway.core.segmentation.label_map import LabelMap
from gateway.core.segmentation.sliding_window import importance_map
from sixpoint._typing import Array, Float, Shape
from sixpoint.errors import ResourceExhausted, TritonUnavailable
from sixpoint.geometry import Orientation
from sixpoint.mask import Timings
from sixpoint.preprocessing import BlockMeans, volume_input

__all__ = ["Segmenter"]

_Result = TypeVar("_Result")

# Voxels resampled at a time: between two pieces a call can be given up.
_PIECE = 2**22
_RETRY_SECONDS = 1.0
_GIB = 2**30


class Segmenter:
    """Runs models that need no prompts over whole images.

    Args:
        images: The images.
        catalog: The models.
        inference: Runs a network on one patch.
        executor: Threads for all that is not the network's.
        admission: Who may work now.
        memory: Bytes that one segmentation may take.
        in_flight: Patches that a segmentation has with Triton at once.
    """

    def __init__(
        self,
        *,
        images: ImageSource,
        catalog: Catalog,
        inference: Inference,
        executor: Executor,
        admission: Admission,
        memory: int,
        in_flight: int,
    ) -> None:
        self._images = images
        self._catalog = catalog
        self._inference = inference
        self._executor = executor
        self._admission = admission
        self._memory = memory
        self._in_flight = in_flight

    async def segment(
        self, digest: str, model: str, *, labels: Sequence[str] = (), deadline: Deadline
    ) -> AsyncGenerator[SegmentationEvent]:
        """Label an image: progress first, then the labels, then where the time went.

        Closing the iterator, or cancelling who waits for it, ends the work, and what Triton has of it.

        Args:
            digest: The image's.
            model: Name of the model.
            labels: Names of those that are wanted; none: all. The others compete for voxels all the same.
            deadline: Until when the labels are wanted.

        Raises:
            ModelNotFound: When there is no such model.
            TaskNotSupported: When it needs prompts.
            InvalidArgument: When it has not all of the labels.
            ImageNotFound: When the image is not here, or is damaged.
            ResourceExhausted: When the image is too large on the model's spacing, or too many segmentations wait.
            TritonUnavailable: When Triton is away, or the model's version went meanwhile.
            InferenceError: When Triton refuses, or answers something else than the model's spec promises.
            DeadlineExceeded: When the deadline passed before the last patch was answered.
        """
        chosen = self._catalog.get(model)
        wanted = select_labels(chosen, labels)
        asked = time.perf_counter()
        yield SegmentationProgress(Stage.WAITING)
        async with self._admission.slot():
            job = SegmentationJob.plan(
                await self._images.open(digest), chosen, version=chosen.version_for(digest), deadline=deadline
            )
            needed = estimate_segmentation_memory(job.image, job.spec, in_flight=self._in_flight)
            if needed > self._memory:
                x, y, z = job.roi.size
                raise ResourceExhausted(
                    f"on the spacing of model {model!r} this image has {x} x {y} x {z} voxels, which would take "
                    f"{needed / _GIB:.1f} GiB of memory; the limit is {self._memory / _GIB:.1f} GiB "
                    "(SIXPOINT_SEGMENTATION_MEMORY_BYTES): send the part that matters"
                )
            async with self._admission.memory(needed):
                waited = timedelta(seconds=time.perf_counter() - asked)
                async with aclosing(self._run(job, wanted)) as events:
                    async for event in events:
                        if isinstance(event, SegmentationSummary):
                            event = replace(event, timings=replace(event.timings, queue=waited))
                        yield event

    async def _run(self, job: SegmentationJob, wanted: Sequence[int]) -> AsyncGenerator[SegmentationEvent]:
        spec, geometry, count = job.spec, job.image.volume.geometry, len(job.window)
        begun = time.perf_counter()
        yield SegmentationProgress(Stage.PREPROCESSING, 0, count)
        channels = await self._prepare(job)
        prepared = time.perf_counter()
        yield SegmentationProgress(Stage.INFERENCE, 0, count)
        labelling = LabelMap(job.roi, size=job.image.canonical_geometry.size, spec=spec)
        done, version = 0, ""
        async with aclosing(self._slide(job, channels, labelling)) as answers:
            async for answered_by in answers:
                done, version = done + 1, answered_by
                yield SegmentationProgress(Stage.INFERENCE, done, count)
        del channels
        inferred = time.perf_counter()
        yield SegmentationProgress(Stage.POSTPROCESSING, count, count)
        for number in wanted:
            name = spec.labels[number - 1]
            yield await self._run_in_thread(partial(_pack_label, labelling, number, name, geometry.orientation))
        timings = Timings(
            preprocess=timedelta(seconds=prepared - begun),
            inference=timedelta(seconds=inferred - prepared),
            encode=timedelta(seconds=time.perf_counter() - inferred),
        )
        yield SegmentationSummary(job.model.name, version, timings)

    async def _prepare(self, job: SegmentationJob) -> Array:
        """What the network sees of the whole image, [channel, z, y, x]."""
        x, y, z = job.roi.size
        volume = np.empty((z, y, x), np.float32)
        voxels = BlockMeans(job.image.canonical, job.roi.reduction_factors)
        thick = max(1, _PIECE // (x * y))
        for first in range(0, z, thick):
            slices = (first, min(z, first + thick))
            volume[slice(*slices)] = await self._run_in_thread(partial(job.roi.resample, voxels, slices=slices))
            job.deadline.remaining()
        return await self._run_in_thread(lambda: volume_input(volume, job.spec.input))

    async def _slide(self, job: SegmentationJob, channels: Array, labelling: LabelMap) -> AsyncGenerator[str]:
        """Send the patches in their order, some at once, and take the answers in; the version that made each."""
        spec = job.patch
        blend = await self._run_in_thread(
            lambda: PatchAggregator(job.window, importance_map(spec), channels=job.spec.output_shape[0])
        )
        pending: deque[tuple[Shape, asyncio.Task[Array]]] = deque()
        corners = iter(job.window)
        version = ""

        async def answer(corner: Shape) -> Array:
            nonlocal version
            patch = await self._run_in_thread(lambda: job.window.extract(channels, corner, spec))
            inferred = await self._inference.infer(
                job.model, patch, timeout=job.deadline.remaining(), version=job.version
            )
            if inferred.version != (version := version or inferred.version):
                raise TritonUnavailable(
                    f"model {job.model.name!r} went from version {version} to {inferred.version} while it was used; "
                    "try again",
                    retry_after=_RETRY_SECONDS,
                )
            return inferred.output

        def send() -> None:
            corner = next(corners, None)
            if corner is not None:
                pending.append((corner, asyncio.create_task(answer(corner))))

        try:
            for _ in range(self._in_flight):
                send()
            while pending:
                corner, task = pending[0]
                output = await task
                pending.popleft()
                send()
                await self._run_in_thread(partial(_aggregate, blend, output, corner, job.model))
                # No later window begins before the next one does.
                finished = blend.pop_completed_slices(pending[0][0][0] if pending else job.window.padded_shape[0])
                while await self._run_in_thread(partial(_label_next, labelling, finished)):
                    job.deadline.remaining()
                yield version
        finally:
            for _, task in pending:
                task.cancel()
            await asyncio.gather(*(task for _, task in pending), return_exceptions=True)

    async def _run_in_thread(self, work: Callable[[], _Result]) -> _Result:
        return await asyncio.get_running_loop().run_in_executor(self._executor, work)


def _aggregate(blend: PatchAggregator, output: Array, corner: Shape, model: Model) -> None:
    """Take one patch's answer in."""
    check_finite(output, model=model.name)
    blend.add(decode_probabilities(output), corner)


def _label_next(labelling: LabelMap, finished: Iterator[tuple[int, Float]]) -> bool:
    """Label with the next slices that are finished; whether there were some."""
    part = next(finished, None)
    if part is not None:
        labelling.add_slices(*part)
    return part is not None


def _pack_label(labelling: LabelMap, number: int, name: str, orientation: Orientation) -> LabelMask:
    """A label on the image's own grid."""
    return pack_label(number, name, orientation.from_canonical(labelling.mask(number)))
