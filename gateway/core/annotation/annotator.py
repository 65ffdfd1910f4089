"""Run one prompt through a network: preprocess on a thread, infer in Triton, postprocess and render on a thread."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import Executor
from contextlib import nullcontext
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TypeVar

import numpy as np

from gateway.core.annotation.client_mask import ClientMask
from gateway.core.annotation.postprocess import postprocess, render_mask
from gateway.core.annotation.preprocess import NetworkInput, Prediction, prediction_from_mask, prepare
from gateway.core.annotation.prompt_reader import PromptReader
from gateway.core.annotation.prompt_state import ObjectPrompts
from gateway.core.images import StoredImage
from gateway.core.runtime import Deadline, Inference, Model, Stage, check_finite
from gateway.core.runtime.phases import Phase, note_wait, phase
from gateway.core.runtime.process.threads import run_to_end
from sixpoint._typing import Bools
from sixpoint.concurrency import PairRunner, run_serially
from sixpoint.geometry import Geometry
from sixpoint.mask import PackedMask, Timings, pack, pack_change
from sixpoint.model_spec import ModelSpec

__all__ = ["Annotator", "PendingPrediction", "RenderedMask"]

_Result = TypeVar("_Result")


@dataclass(frozen=True, eq=False)
class RenderedMask:
    """A mask on the image's own grid, with its packed form.

    Attributes:
        packed: The packed mask; only the changed box if that is smaller and the client has the previous mask.
        mask: The part of the image's grid that contains the object, bool [z, y, x]; all voxels outside are background.
        offset: Index (x, y, z) of the first voxel of ``mask`` in the image.
        timings: Time spent on rendering and packing.
    """

    packed: PackedMask
    mask: Bools
    offset: tuple[int, int, int]
    timings: Timings


@dataclass(frozen=True, eq=False)
class PendingPrediction:
    """A prediction on the ROI's grid whose mask is still being rendered.

    Attributes:
        prediction: The prediction.
        version: Version of the model that made it; empty for an initial mask.
        timings: Time spent until the prediction was there.
        rendering: The mask in the making; cancel it if the mask is no longer wanted.
        network_input: What the network saw; None if no network was run.
    """

    prediction: Prediction
    version: str
    timings: Timings
    rendering: asyncio.Future[RenderedMask]
    network_input: NetworkInput | None = None


class Annotator:
    """Turns the prompts for one object into a mask.

    Args:
        inference: Backend that runs a network on one tensor.
        executor: Threads for preprocessing and postprocessing.
        run_pair: Function that runs two independent halves of a prompt's work.

    Attributes:
        reader: Reads the prompts.
    """

    def __init__(self, *, inference: Inference, executor: Executor, run_pair: PairRunner = run_serially) -> None:
        self.reader = PromptReader(executor)
        self._inference = inference
        self._executor = executor
        self._run_pair = run_pair

    async def annotate(
        self,
        image: StoredImage,
        model: Model,
        prompts: ObjectPrompts,
        *,
        previous: Prediction | None,
        previous_input: NetworkInput | None,
        client_mask: ClientMask | None,
        deadline: Deadline,
        on_stage: Callable[[Stage], None],
        version: str = "",
    ) -> PendingPrediction:
        """Predict one object from all of its prompts, with one call of the network.

        Args:
            image: Image that contains the object.
            model: Model to run.
            prompts: Prompts for the object so far.
            previous: Prediction that the new clicks correct; None for a new object.
            previous_input: What the network last saw of this object; None if unknown.
            client_mask: Mask that the client already has; None to pack the whole mask.
            deadline: Moment by which the prediction is needed.
            on_stage: Function called at the begin of each stage.
            version: Version of the model to run; empty for the model's own.

        Raises:
            TritonUnavailable: When Triton cannot be reached.
            InferenceError: When Triton refuses the request, or the output contradicts the model's spec.
            DeadlineExceeded: When the deadline passes first.
        """
        geometry, threshold = image.volume.geometry, model.spec.output.threshold
        on_stage(Stage.PREPROCESSING)
        network_input, waited, preparing = await self._run_in_thread(
            "preprocess",
            lambda: prepare(
                image.reduced,
                prompts,
                previous=previous,
                previous_input=previous_input,
                geometry=geometry,
                spec=model.spec,
                run_pair=self._run_pair,
            ),
        )
        on_stage(Stage.INFERENCE)
        started = time.perf_counter()
        result = await self._inference.infer(model, network_input.tensor, timeout=deadline.remaining(), version=version)
        inferring = time.perf_counter() - started - result.waited
        on_stage(Stage.POSTPROCESSING)

        def predict() -> Prediction:
            check_finite(result.output, model=model.name)
            return postprocess(result.output[0], network_input, geometry=geometry, threshold=threshold)

        pending = await self._predict_and_render(
            predict, prompts, geometry=geometry, threshold=threshold, client_mask=client_mask
        )
        spent = _timings(queue=waited + result.waited, preprocess=preparing, inference=inferring)
        return replace(pending, version=result.version, timings=spent + pending.timings, network_input=network_input)

    async def start_from_mask(
        self, prompts: ObjectPrompts, spec: ModelSpec, *, geometry: Geometry, client_mask: ClientMask | None
    ) -> PendingPrediction:
        """Take an initial mask as the first prediction, without running a network.

        Args:
            prompts: Prompts for an object that starts with an initial mask.
            spec: Spec of the model that will correct the mask.
            geometry: Geometry of the image as uploaded.
            client_mask: Mask that the client already has; None to pack the whole mask.
        """
        return await self._predict_and_render(
            lambda: prediction_from_mask(prompts, geometry=geometry, spec=spec),
            prompts,
            geometry=geometry,
            threshold=spec.output.threshold,
            client_mask=client_mask,
        )

    async def render(
        self,
        prediction: Prediction,
        prompts: ObjectPrompts,
        *,
        geometry: Geometry,
        threshold: float,
        client_mask: ClientMask | None,
    ) -> RenderedMask:
        """Render a stored prediction as a mask.

        Args:
            prediction: The prediction.
            prompts: Prompts that led to it.
            geometry: Geometry of the image as uploaded.
            threshold: Smallest probability of the object's voxels.
            client_mask: Mask that the client already has; None to pack the whole mask.
        """
        rendered, waited, _ = await self._run_in_thread(
            None,
            lambda: self._render(prediction, prompts, geometry=geometry, threshold=threshold, client_mask=client_mask),
        )
        return replace(rendered, timings=replace(rendered.timings, queue=timedelta(seconds=waited)))

    @staticmethod
    def render_empty(client_mask: ClientMask | None) -> RenderedMask:
        """Render the mask of a segment without an object."""
        return _pack(np.zeros((1, 1, 1), np.bool_), (0, 0, 0), client_mask, Timings())

    async def _predict_and_render(
        self,
        predict: Callable[[], Prediction],
        prompts: ObjectPrompts,
        *,
        geometry: Geometry,
        threshold: float,
        client_mask: ClientMask | None,
    ) -> PendingPrediction:
        """Predict on a thread, and return while the same thread renders the mask: the caller stores meanwhile."""
        loop = asyncio.get_running_loop()
        predicted: asyncio.Future[tuple[Prediction, float, float]] = loop.create_future()
        submitted = time.perf_counter()

        def set_predicted(prediction: Prediction, waited: float, predicting: float) -> None:
            if not predicted.done():
                predicted.set_result((prediction, waited, predicting))

        def work() -> RenderedMask:
            note_wait(submitted)
            started = time.perf_counter()
            with phase("postprocess"):
                prediction = predict()
            loop.call_soon_threadsafe(set_predicted, prediction, started - submitted, time.perf_counter() - started)
            # Release the GIL to the event loop: storing the prediction takes longer than rendering it.
            time.sleep(0)
            return self._render(prediction, prompts, geometry=geometry, threshold=threshold, client_mask=client_mask)

        rendering = asyncio.ensure_future(run_to_end(self._executor, work))
        try:
            await asyncio.wait((predicted, rendering), return_when=asyncio.FIRST_COMPLETED)
            if not predicted.done():
                # A prediction is always announced before rendering: without one, this raises the failure.
                await rendering
            prediction, waited, predicting = await predicted
        except BaseException:
            rendering.cancel()
            await asyncio.gather(rendering, return_exceptions=True)
            raise
        return PendingPrediction(prediction, "", _timings(queue=waited, postprocess=predicting), rendering)

    def _render(
        self,
        prediction: Prediction,
        prompts: ObjectPrompts,
        *,
        geometry: Geometry,
        threshold: float,
        client_mask: ClientMask | None,
    ) -> RenderedMask:
        started = time.perf_counter()
        with phase("postprocess"):
            mask, offset = render_mask(
                prediction, prompts, geometry=geometry, threshold=threshold, run_pair=self._run_pair
            )
        timings = _timings(postprocess=time.perf_counter() - started)
        return _pack(mask, offset, client_mask, timings, run_pair=self._run_pair)

    async def _run_in_thread(self, name: Phase | None, work: Callable[[], _Result]) -> tuple[_Result, float, float]:
        """Run work on a thread; return its result, the seconds waited for the thread, and the seconds of work.

        Args:
            name: Phase that it is; None for work that says so itself.
            work: Function to run.
        """
        submitted = time.perf_counter()

        def timed() -> tuple[_Result, float, float]:
            note_wait(submitted)
            started = time.perf_counter()
            with phase(name) if name else nullcontext():
                result = work()
            return result, started - submitted, time.perf_counter() - started

        return await run_to_end(self._executor, timed)


def _timings(**seconds: float) -> Timings:
    return Timings(**{stage: timedelta(seconds=value) for stage, value in seconds.items()})


def _pack(
    mask: Bools,
    offset: tuple[int, int, int],
    client_mask: ClientMask | None,
    timings: Timings,
    *,
    run_pair: PairRunner = run_serially,
) -> RenderedMask:
    started = time.perf_counter()
    with phase("encode"):
        if client_mask is None:
            packed = pack(mask, offset, run_pair=run_pair)
        else:
            before = client_mask.mask, client_mask.offset
            packed = pack_change(mask, offset, before=before, revision=client_mask.revision, run_pair=run_pair)
    timings = replace(timings, encode=timedelta(seconds=time.perf_counter() - started))
    return RenderedMask(packed, mask, offset, timings)
