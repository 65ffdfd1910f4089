"""Answering prompts: prepare on a worker thread, infer in Triton, restore on a worker thread."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from gateway.core.catalog import Catalog, Model
from gateway.core.deadline import Deadline
from gateway.core.processing import Answered, Prepared, correct, decode_probabilities, prepare, restore
from gateway.core.sessions import Session, State
from gateway.core.shown import check_kinds, read_call, show
from sixpoint.mask import PackedMask, Timings, pack
from sixpoint.prompts import Prompt

__all__ = ["Answer", "Engine", "Inference", "Inferred"]

_Result = TypeVar("_Result")


@dataclass(frozen=True, eq=False)
class Inferred:
    """What a network answered: its output [channel, z, y, x], and the version of the model that made it."""

    output: npt.NDArray[Any]
    version: str


class Inference(Protocol):
    """Whoever runs a network."""

    async def infer(self, model: Model, tensor: npt.NDArray[np.floating], *, timeout: float) -> Inferred:
        """Run one input [channel, z, y, x] through a model, within ``timeout`` seconds.

        Raises:
            DeadlineExceeded: When it took longer.
            TritonUnavailable: When it cannot be reached or the model is not ready.
            InferenceError: When it refuses, or answers something else than the model's spec promises.
        """
        ...


@dataclass(frozen=True)
class Answer:
    """The mask for prompts, the model's version that made it, and where the time went."""

    mask: PackedMask
    revision: int
    model: str
    version: str
    timings: Timings


class Engine:
    """Answers prompts.

    Args:
        catalog: The models.
        inference: Runs them.
        executor: Threads for pre- and post-processing.
    """

    def __init__(self, *, catalog: Catalog, inference: Inference, executor: Executor) -> None:
        self._catalog = catalog
        self._inference = inference
        self._executor = executor

    async def annotate(self, session: Session, prompts: Sequence[Prompt], *, deadline: Deadline) -> Answer:
        """Outline what the prompts show: one call of the network, whatever their number.

        Whatever is raised, the session is as it was.

        Args:
            session: Whose object the prompts begin or correct.
            prompts: In the order in which they were given.
            deadline: Until when an answer is wanted.

        Raises:
            PromptError: When a prompt makes no sense in this image, or they come in a wrong order.
            PromptNotSupported: When the session's model does not take such prompts.
            NothingToCorrect: When there are only clicks, and nothing was begun.
            ResourceExhausted: When the object has too many clicks.
            ModelNotFound: When the session's model is gone.
            TritonUnavailable: When Triton is away.
            DeadlineExceeded: When the deadline passed before the mask was there.
        """
        image, geometry = session.image, session.image.volume.geometry
        call = read_call(prompts, geometry=geometry)
        async with session.lock:
            model, state = self._catalog.get(session.model), session.state
            check_kinds(call, model=model.name, taken=model.spec.prompts)
            shown = show(state.shown, call)
            answered = None if call.extent else state.answered
            threshold = model.spec.output.threshold

            def make_ready() -> Prepared:
                return prepare(image.reduced, shown, answered=answered, geometry=geometry, spec=model.spec)

            def make_mask() -> tuple[Answered, npt.NDArray[np.bool_], tuple[int, int, int]]:
                grid = decode_probabilities(inferred.output[0])
                corrected = correct(grid, prepared, geometry=geometry, threshold=threshold)
                return corrected, *restore(corrected, shown, geometry=geometry, threshold=threshold)

            prepared, waited, preparing = await self._run(make_ready)
            started = time.perf_counter()
            inferred = await self._inference.infer(model, prepared.tensor, timeout=deadline.remaining())
            inferring = time.perf_counter() - started
            (corrected, mask, offset), waited_for_mask, restoring = await self._run(make_mask)
            packed, waited_for_bits, encoding = await self._run(lambda: pack(mask, offset))
            session.state = State((*state.log, call.prompts), shown, corrected)
            session.revision += 1
            return Answer(
                mask=packed,
                revision=session.revision,
                model=model.name,
                version=inferred.version,
                timings=Timings(
                    queue=timedelta(seconds=waited + waited_for_mask + waited_for_bits),
                    preprocess=timedelta(seconds=preparing),
                    inference=timedelta(seconds=inferring),
                    postprocess=timedelta(seconds=restoring),
                    encode=timedelta(seconds=encoding),
                ),
            )

    async def _run(self, work: Callable[[], _Result]) -> tuple[_Result, float, float]:
        """Run work on a thread: its result, seconds waited for the thread, seconds of work."""
        asked = time.perf_counter()

        def timed() -> tuple[_Result, float, float]:
            begun = time.perf_counter()
            result = work()
            return result, begun - asked, time.perf_counter() - begun

        return await asyncio.get_running_loop().run_in_executor(self._executor, timed)
