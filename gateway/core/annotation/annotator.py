"""One prompt's way through a network: prepare on a worker thread, infer in Triton, draw the mask on a worker thread."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from datetime import timedelta
from enum import Enum, auto
from typing import Any, TypeVar

import numpy as np

from gateway.core.annotation.preprocess import NetworkInput, Prediction, brought, correct, prepare, restore
from gateway.core.annotation.prompt_state import ObjectPrompts
from gateway.core.images.store import StoredImage
from gateway.core.runtime.catalog import Model
from gateway.core.runtime.deadline import Deadline
from gateway.core.runtime.inference import Inference, check_finite
from sixpoint._typing import Bools
from sixpoint.geometry import Geometry
from sixpoint.mask import PackedMask, Timings, pack, pack_change
from sixpoint.model_spec import ModelSpec
from sixpoint.preprocessing.concurrency import PairRunner, run_serially

__all__ = ["Annotator", "ClientMask", "PendingAnswer", "Phase", "RenderedMask"]

_Result = TypeVar("_Result")


class Phase(Enum):
    """How far a call is."""

    WAITING = auto()
    PREPROCESSING = auto()
    INFERENCE = auto()
    POSTPROCESSING = auto()


@dataclass(frozen=True, eq=False)
class ClientMask:
    """The mask that the caller has: a piece of it, its first voxel (x, y, z), and its revision."""

    mask: Bools
    offset: tuple[int, int, int]
    revision: int


@dataclass(frozen=True, eq=False)
class RenderedMask:
    """A mask as it is sent, as it is, and where the time went.

    Attributes:
        packed: The whole mask; or what changed of it, if the caller has the one before.
        mask: A piece of the image's grid, bool [z, y, x]; beyond it there is nothing.
        offset: Index (x, y, z) of its first voxel.
        timings: Where the time went.
    """

    packed: PackedMask
    mask: Bools
    offset: tuple[int, int, int]
    timings: Timings


@dataclass(frozen=True, eq=False)
class PendingAnswer:
    """An answer on the ROI's grid, whose mask is being drawn.

    Attributes:
        answered: The answer.
        version: The model's that made it; empty when a person brought it along.
        timings: Where the time went until it was there.
        drawing: Its mask; whoever does not want it any more cancels it.
        prepared: What the network saw.
    """

    answered: Prediction
    version: str
    timings: Timings
    drawing: asyncio.Future[RenderedMask]
    prepared: NetworkInput | None = None


class Annotator:
    """Runs networks on what people show.

    Args:
        inference: Runs a network on one tensor.
        executor: Threads for pre- and post-processing.
        run_pair: Does two halves of the work of one prompt.
    """

    def __init__(self, *, inference: Inference, executor: Executor, run_pair: PairRunner = run_serially) -> None:
        self._inference = inference
        self._executor = executor
        self._run_pair = run_pair

    async def annotate(
        self,
        image: StoredImage,
        model: Model,
        shown: ObjectPrompts,
        *,
        answered: Prediction | None,
        prepared: NetworkInput | None,
        client_mask: ClientMask | None,
        deadline: Deadline,
        on_phase: Callable[[Phase], None],
        version: str = "",
    ) -> PendingAnswer:
        """The answer of a model to all that was shown of an object: one call of the network.

        Args:
            image: Where the object lies.
            model: The model.
            shown: What was shown of the object.
            answered: The answer that new clicks correct; None when there is none.
            prepared: What the network saw last of this object; None when that is not known.
            client_mask: The mask that the caller has.
            deadline: Until when an answer is wanted.
            on_phase: Called as the call goes on.
            version: Which version of the model; empty: its own.

        Raises:
            TritonUnavailable: When Triton is away.
            InferenceError: When it refuses, or answers something else than the model's spec promises.
            DeadlineExceeded: When the deadline passed before the mask was there.
        """
        geometry, threshold = image.volume.geometry, model.spec.output.threshold
        on_phase(Phase.PREPROCESSING)
        ready, waited, preparing = await self._run(
            lambda: prepare(
                image.reduced,
                shown,
                answered=answered,
                before=prepared,
                geometry=geometry,
                spec=model.spec,
                run_pair=self._run_pair,
            )
        )
        on_phase(Phase.INFERENCE)
        started = time.perf_counter()
        inferred = await self._inference.infer(model, ready.tensor, timeout=deadline.remaining(), version=version)
        inferring = time.perf_counter() - started
        on_phase(Phase.POSTPROCESSING)

        def answer() -> Prediction:
            check_finite(inferred.output, model=model.name)
            return correct(inferred.output[0], ready, geometry=geometry, threshold=threshold)

        outlined = await self._drawn(
            answer,
            shown,
            geometry=geometry,
            threshold=threshold,
            before=client_mask,
        )
        spent = Timings(
            queue=timedelta(seconds=waited),
            preprocess=timedelta(seconds=preparing),
            inference=timedelta(seconds=inferring),
        )
        return replace(outlined, version=inferred.version, timings=spent + outlined.timings, prepared=ready)

    async def bring(
        self, shown: ObjectPrompts, spec: ModelSpec, *, geometry: Geometry, before: ClientMask | None
    ) -> PendingAnswer:
        """The answer that is the mask that a person brought along; no network is asked.

        Args:
            shown: What was shown of the object, which a mask began.
            spec: Of the model that is to correct it.
            geometry: Of the image as it came.
            before: The mask that the caller has.
        """
        return await self._drawn(
            lambda: brought(shown, geometry=geometry, spec=spec),
            shown,
            geometry=geometry,
            threshold=spec.output.threshold,
            before=before,
        )

    async def draw(
        self,
        answered: Prediction,
        shown: ObjectPrompts,
        *,
        geometry: Geometry,
        threshold: float,
        before: ClientMask | None,
    ) -> RenderedMask:
        """The mask of an answer.

        Args:
            answered: The answer.
            shown: What was shown of the object.
            geometry: Of the image as it came.
            threshold: Probability from which on a voxel belongs to the object.
            before: The mask that the caller has.
        """
        drawn, waited, _ = await self._run(
            lambda: self._draw(answered, shown, geometry=geometry, threshold=threshold, before=before)
        )
        return replace(drawn, timings=replace(drawn.timings, queue=timedelta(seconds=waited)))

    @staticmethod
    def nothing(before: ClientMask | None) -> RenderedMask:
        """The empty mask."""
        return _packed(np.zeros((1, 1, 1), np.bool_), (0, 0, 0), before, Timings())

    async def _drawn(
        self,
        answer: Callable[[], Prediction],
        shown: ObjectPrompts,
        *,
        geometry: Geometry,
        threshold: float,
        before: ClientMask | None,
    ) -> PendingAnswer:
        """Make an answer on a thread, which goes on to draw it, while the answer is stored."""
        loop = asyncio.get_running_loop()
        made: asyncio.Future[tuple[Prediction, float, float]] = loop.create_future()
        asked = time.perf_counter()

        def tell(*what: Any) -> None:
            if not made.done():
                made.set_result(what)

        def work() -> RenderedMask:
            begun = time.perf_counter()
            answered = answer()
            loop.call_soon_threadsafe(tell, answered, begun - asked, time.perf_counter() - begun)
            # Python's lock goes to the loop first: to store an answer takes longer than to draw it.
            time.sleep(0)
            return self._draw(answered, shown, geometry=geometry, threshold=threshold, before=before)

        drawing = loop.run_in_executor(self._executor, work)
        try:
            await asyncio.wait((made, drawing), return_when=asyncio.FIRST_COMPLETED)
            if not made.done():
                # Nothing is drawn before it is told: there was no answer.
                await drawing
            answered, waited, answering = await made
        except BaseException:
            drawing.cancel()
            raise
        timings = Timings(queue=timedelta(seconds=waited), postprocess=timedelta(seconds=answering))
        return PendingAnswer(answered, "", timings, drawing)

    def _draw(
        self,
        answered: Prediction,
        shown: ObjectPrompts,
        *,
        geometry: Geometry,
        threshold: float,
        before: ClientMask | None,
    ) -> RenderedMask:
        begun = time.perf_counter()
        mask, offset = restore(answered, shown, geometry=geometry, threshold=threshold, run_pair=self._run_pair)
        timings = Timings(postprocess=timedelta(seconds=time.perf_counter() - begun))
        return _packed(mask, offset, before, timings, run_pair=self._run_pair)

    async def _run(self, work: Callable[[], _Result]) -> tuple[_Result, float, float]:
        """Run work on a thread: its result, seconds waited for the thread, seconds of work."""
        asked = time.perf_counter()

        def timed() -> tuple[_Result, float, float]:
            begun = time.perf_counter()
            result = work()
            return result, begun - asked, time.perf_counter() - begun

        return await asyncio.get_running_loop().run_in_executor(self._executor, timed)


def _packed(
    mask: Bools,
    offset: tuple[int, int, int],
    before: ClientMask | None,
    timings: Timings,
    *,
    run_pair: PairRunner = run_serially,
) -> RenderedMask:
    begun = time.perf_counter()
    if before is None:
        packed = pack(mask, offset, run_pair=run_pair)
    else:
        old = before.mask, before.offset
        packed = pack_change(mask, offset, before=old, revision=before.revision, run_pair=run_pair)
    timings = replace(timings, encode=timedelta(seconds=time.perf_counter() - begun))
    return RenderedMask(packed, mask, offset, timings)
