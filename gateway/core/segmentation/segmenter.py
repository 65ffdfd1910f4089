"""Segment a whole image: run a network on overlapping patches, and label the image from the joined outputs."""

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

from gateway.core.access import NO_AUDIT, Action, AuditEntry, Auditor, Principal
from gateway.core.images import ImageSource
from gateway.core.runtime import (
    NO_OBSERVER,
    Admission,
    Catalog,
    Deadline,
    Inference,
    Model,
    Observer,
    Stage,
    check_finite,
    decode_probabilities,
)
from gateway.core.runtime.phases import note_wait, phase
from gateway.core.segmentation.aggregation import PatchAggregator
from gateway.core.segmentation.events import (
    LabelMask,
    SegmentationEvent,
    SegmentationProgress,
    SegmentationSummary,
    pack_label,
)
from gateway.core.segmentation.foreground import Box, foreground_box
from gateway.core.segmentation.job import SegmentationJob, estimate_segmentation_memory, select_labels
from gateway.core.segmentation.label_map import LabelMap
from gateway.core.segmentation.scoring import SegmentationScorer
from gateway.core.segmentation.sliding_window import importance_map
from sixpoint._typing import Array, Float, Shape
from sixpoint.errors import ResourceExhausted, TritonUnavailable
from sixpoint.geometry import Orientation
from sixpoint.mask import Timings
from sixpoint.preprocessing import BlockMeans, volume_input

__all__ = ["Segmenter"]

_Result = TypeVar("_Result")

# Voxels resampled at a time: between two pieces a call can be cancelled.
_PIECE_VOXELS = 2**22
_RETRY_SECONDS = 1.0
_GIB = 2**30


class Segmenter:
    """Segments images with models that need no prompts.

    Args:
        images: Stored images.
        catalog: Models that can be used now.
        inference: Backend that runs a network on one patch.
        executor: Threads for preprocessing and postprocessing.
        admission: Limits the segmentations that run or wait, and their memory.
        memory: Bytes that one segmentation may use.
        in_flight: Number of patches that a segmentation sends to Triton at once.
        observer: Told of finished segmentations.
        auditor: Takes notes of images that are segmented.
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
        observer: Observer = NO_OBSERVER,
        auditor: Auditor = NO_AUDIT,
    ) -> None:
        self._auditor = auditor
        self._images = images
        self._catalog = catalog
        self._inference = inference
        self._executor = executor
        self._admission = admission
        self._memory = memory
        self._in_flight = in_flight
        self._observer = observer

    async def segment(
        self,
        digest: str,
        model: str,
        *,
        principal: Principal,
        labels: Sequence[str] = (),
        deadline: Deadline,
        scored: bool = False,
    ) -> AsyncGenerator[SegmentationEvent]:
        """Segment an image: yield progress, then the labels, then a summary.

        Closing the iterator, or cancelling the task that waits for it, also cancels the patches in Triton.

        Args:
            digest: Digest of the image.
            model: Name of the model.
            principal: Who makes the call.
            labels: Names of the labels to return; empty for all. Labels left out still compete for voxels.
            deadline: Moment by which the labels are needed.
            scored: Whether the summary has a score.

        Raises:
            ModelNotFound: When there is no such model.
            TaskNotSupported: When the model needs prompts.
            InvalidArgument: When the model does not have a label.
            ImageNotFound: When there is no such image, or its voxels are damaged.
            ResourceExhausted: When the image is too large on the model's spacing, or too many segmentations wait.
            TritonUnavailable: When Triton cannot be reached, or the model's version changed meanwhile.
            InferenceError: When Triton refuses a patch, or an output contradicts the model's spec.
            DeadlineExceeded: When the deadline passes before the last patch is done.
        """
        selected = self._catalog.get(model, tenant=principal.tenant)
        numbers = select_labels(selected, labels)
        started = time.perf_counter()
        yield SegmentationProgress(Stage.WAITING)
        async with self._admission.slot():
            image = await self._images.open(digest, tenant=principal.tenant)
            self._auditor.note(AuditEntry(principal, Action.SEGMENT_IMAGE, digest))
            job = SegmentationJob.plan(image, selected, version=selected.version_for(digest), deadline=deadline)
            memory = estimate_segmentation_memory(job.image, job.spec, in_flight=self._in_flight)
            if memory > self._memory:
                x, y, z = job.roi.size
                raise ResourceExhausted(
                    f"on the spacing of model {model!r} this image has {x} x {y} x {z} voxels, which would take "
                    f"{memory / _GIB:.1f} GiB of memory; the limit is {self._memory / _GIB:.1f} GiB "
                    "(SIXPOINT_SEGMENTATION_MEMORY_BYTES): crop the image to the part to segment"
                )
            async with self._admission.memory(memory):
                waited = timedelta(seconds=time.perf_counter() - started)
                note_wait(started, always=True)
                async with aclosing(self._run(job, numbers, scored=scored)) as events:
                    async for event in events:
                        if isinstance(event, SegmentationSummary):
                            event = replace(event, timings=replace(event.timings, queue=waited))
                        yield event

    async def _run(
        self, job: SegmentationJob, numbers: Sequence[int], *, scored: bool
    ) -> AsyncGenerator[SegmentationEvent]:
        spec, geometry, count = job.spec, job.image.volume.geometry, len(job.window)
        started = time.perf_counter()
        yield SegmentationProgress(Stage.PREPROCESSING, 0, count)
        with phase("preprocess"):
            channels = await self._prepare(job)
            box = await self._run_in_thread(partial(foreground_box, channels[0], job.patch.foreground))
        if box is not None:
            job, channels = job.within(box), channels[:, *box]
            count = len(job.window)
        prepared = time.perf_counter()
        yield SegmentationProgress(Stage.INFERENCE, 0, count)
        label_map = LabelMap(job.roi, size=job.image.canonical_geometry.size, spec=spec, box=box)
        scorer = await self._run_in_thread(partial(_scorer, job, channels, box)) if scored else None
        done, version = 0, ""
        async with aclosing(self._slide(job, channels, label_map, scorer)) as versions:
            async for current in versions:
                done, version = done + 1, current
                yield SegmentationProgress(Stage.INFERENCE, done, count)
        del channels
        inferred = time.perf_counter()
        yield SegmentationProgress(Stage.POSTPROCESSING, count, count)
        for number in numbers:
            name = spec.labels[number - 1]
            with phase("encode"):
                mask = await self._run_in_thread(partial(_pack_label, label_map, number, name, geometry.orientation))
            yield mask
        timings = Timings(
            preprocess=timedelta(seconds=prepared - started),
            inference=timedelta(seconds=inferred - prepared),
            encode=timedelta(seconds=time.perf_counter() - inferred),
        )
        self._observer.segmented(model=job.model.name, version=version, timings=timings)
        yield SegmentationSummary(job.model.name, version, timings, scorer.score() if scorer else None)

    async def _prepare(self, job: SegmentationJob) -> Array:
        """Compute the network's channels of the whole image, [channel, z, y, x], as ``volume_channels`` does."""
        if not job.patch.windowed_first:
            volume = await self._resample(job, job.image.canonical)
            return await self._run_in_thread(lambda: volume_input(volume, job.spec.input))
        windowed = await self._run_in_thread(
            lambda: volume_input(np.ascontiguousarray(job.image.canonical, np.float32), job.spec.input)
        )
        x, y, z = job.roi.size
        result = np.empty((len(windowed), z, y, x), windowed.dtype)
        for made, channel in zip(result, windowed, strict=True):
            made[...] = await self._resample(job, channel)
        return result

    async def _resample(self, job: SegmentationJob, image: Array) -> Float:
        """Resample an image [z, y, x] to the network's grid, some slices at a time."""
        x, y, z = job.roi.size
        volume = np.empty((z, y, x), np.float32)
        voxels = BlockMeans(image, job.roi.reduction_factors)
        step = max(1, _PIECE_VOXELS // (x * y))
        for first in range(0, z, step):
            slices = (first, min(z, first + step))
            volume[slice(*slices)] = await self._run_in_thread(partial(job.roi.resample, voxels, slices=slices))
            job.deadline.remaining()
        return volume

    async def _slide(
        self, job: SegmentationJob, channels: Array, label_map: LabelMap, scorer: SegmentationScorer | None
    ) -> AsyncGenerator[str]:
        """Run the patches in order, several at once, and label with their outputs; yield the version that ran each."""
        spec = job.patch
        aggregator = await self._run_in_thread(
            lambda: PatchAggregator(job.window, importance_map(spec), channels=job.spec.output_shape[0])
        )
        pending: deque[tuple[Shape, asyncio.Task[Array]]] = deque()
        corners = iter(job.window)
        version = ""

        async def infer(corner: Shape) -> Array:
            nonlocal version
            patch = await self._run_in_thread(lambda: job.window.extract(channels, corner, spec))
            result = await self._inference.infer(
                job.model, patch, timeout=job.deadline.remaining(), version=job.version
            )
            if result.version != (version := version or result.version):
                raise TritonUnavailable(
                    f"model {job.model.name!r} went from version {version} to {result.version} during the "
                    "segmentation; try again",
                    retry_after=_RETRY_SECONDS,
                )
            return result.output

        def send() -> None:
            corner = next(corners, None)
            if corner is not None:
                pending.append((corner, asyncio.create_task(infer(corner))))

        try:
            for _ in range(self._in_flight):
                send()
            while pending:
                corner, task = pending[0]
                output = await task
                pending.popleft()
                send()
                await self._run_in_thread(partial(_aggregate, aggregator, output, corner, job.model))
                # No later patch begins before the next one.
                completed = aggregator.pop_completed_slices(pending[0][0][0] if pending else job.window.padded_shape[0])
                while await self._run_in_thread(partial(_label_next, label_map, completed, scorer)):
                    job.deadline.remaining()
                yield version
        finally:
            for _, task in pending:
                task.cancel()
            await asyncio.gather(*(task for _, task in pending), return_exceptions=True)

    async def _run_in_thread(self, work: Callable[[], _Result]) -> _Result:
        return await asyncio.get_running_loop().run_in_executor(self._executor, work)


def _scorer(job: SegmentationJob, channels: Array, box: Box | None) -> SegmentationScorer:
    """Begin the score of a segmentation."""
    spacing = job.image.canonical_geometry.spacing
    return SegmentationScorer(channels[0], roi=job.roi, spacing=spacing, spec=job.spec, box=box)


def _aggregate(aggregator: PatchAggregator, output: Array, corner: Shape, model: Model) -> None:
    """Add the output of one patch."""
    check_finite(output, model=model.name)
    aggregator.add(decode_probabilities(output), corner)


def _label_next(label_map: LabelMap, completed: Iterator[tuple[int, Float]], scorer: SegmentationScorer | None) -> bool:
    """Label with the next completed slices; return whether there were any."""
    slices = next(completed, None)
    if slices is not None:
        label_map.add_slices(*slices)
        if scorer is not None:
            scorer.add_slices(*slices, label_map)
    return slices is not None


def _pack_label(label_map: LabelMap, number: int, name: str, orientation: Orientation) -> LabelMask:
    """Pack one label on the image's own grid."""
    return pack_label(number, name, orientation.from_canonical(label_map.mask(number)))
