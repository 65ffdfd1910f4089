"""One prompt's way through a network: prepare on a worker thread, infer in Triton, draw the mask on a worker thread."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from datetime import timedelta
from enum import Enum, auto
from typing import Any, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from gateway.core.catalog import Model
from gateway.core.deadline import Deadline
from gateway.core.images import StoredImage
from gateway.core.processing import Answered, brought, correct, prepare, restore
from gateway.core.shown import Shown
from sixpoint.geometry import Geometry
from sixpoint.mask import PackedMask, Timings, pack, pack_change
from sixpoint.spec import ModelSpec

__all__ = ["Before", "Drawn", "Inference", "Inferred", "Outlined", "Outliner", "Phase"]

_Result = TypeVar("_Result")


@dataclass(frozen=True, eq=False)
class Inferred:
    """What a network answered: its output [channel, z, y, x], and the version of the model that made it."""

    output: npt.NDArray[Any]
    version: str


class Inference(Protocol):
    """Whoever runs a network."""

    async def infer(
        self, model: Model, tensor: npt.NDArray[np.floating], *, timeout: float, version: str = ""
    ) -> Inferred:
        """Run one input [channel, z, y, x] through a version of a model, within ``timeout`` seconds.

        Args:
            model: The model.
            tensor: The input.
            timeout: Seconds that it may take.
            version: Which version; empty: the model's own.

        Raises:
            DeadlineExceeded: When it took longer.
            TritonUnavailable: When it cannot be reached or the model is not ready.
            InferenceError: When it refuses, or answers something else than the model's spec promises.
        """
        ...


class Phase(Enum):
    """How far a call is."""

    WAITING = auto()
    PREPROCESSING = auto()
    INFERENCE = auto()
    POSTPROCESSING = auto()


@dataclass(frozen=True, eq=False)
class Before:
    """The mask that the caller has: a piece of it, its first voxel (x, y, z), and its revision."""

    mask: npt.NDArray[np.bool_]
    offset: tuple[int, int, int]
    revision: int


@dataclass(frozen=True, eq=False)
class Drawn:
    """A mask as it is sent, as it is, and where the time went.

    Attributes:
        packed: The whole mask; or what changed of it, if the caller has the one before.
        mask: A piece of the image's grid, bool [z, y, x]; beyond it there is nothing.
        offset: Index (x, y, z) of its first voxel.
        timings: Where the time went.
    """

    packed: PackedMask
    mask: npt.NDArray[np.bool_]
    offset: tuple[int, int, int]
    timings: Timings


@dataclass(frozen=True, eq=False)
class Outlined:
    """An answer on the ROI's grid, the model's version that made it, the mask drawn from it, where the time went."""

    answered: Answered
    version: str
    drawn: Drawn
    timings: Timings


class Outliner:
    """Runs networks on what people show.

    Args:
        inference: Runs a network on one tensor.
        executor: Threads for pre- and post-processing.
    """

    def __init__(self, *, inference: Inference, executor: Executor) -> None:
        self._inference = inference
        self._executor = executor

    async def outline(
        self,
        image: StoredImage,
        model: Model,
        shown: Shown,
        *,
        answered: Answered | None,
        before: Before | None,
        deadline: Deadline,
        told: Callable[[Phase], None],
        version: str = "",
    ) -> Outlined:
        """The answer of a model to all that was shown of an object: one call of the network.

        Args:
            image: Where the object lies.
            model: The model.
            shown: What was shown of the object.
            answered: The answer that new clicks correct; None when there is none.
            before: The mask that the caller has.
            deadline: Until when an answer is wanted.
            told: Called as the call goes on.
            version: Which version of the model; empty: its own.

        Raises:
            TritonUnavailable: When Triton is away.
            InferenceError: When it refuses.
            DeadlineExceeded: When the deadline passed before the mask was there.
        """
        geometry, threshold = image.volume.geometry, model.spec.output.threshold
        told(Phase.PREPROCESSING)
        prepared, waited, preparing = await self._run(
            lambda: prepare(image.reduced, shown, answered=answered, geometry=geometry, spec=model.spec)
        )
        told(Phase.INFERENCE)
        started = time.perf_counter()
        inferred = await self._inference.infer(model, prepared.tensor, timeout=deadline.remaining(), version=version)
        inferring = time.perf_counter() - started
        told(Phase.POSTPROCESSING)

        def finish() -> tuple[Answered, Drawn]:
            begun = time.perf_counter()
            corrected = correct(inferred.output[0], prepared, geometry=geometry, threshold=threshold)
            return corrected, self._drawn(corrected, shown, geometry, threshold, before, begun)

        (corrected, drawn), waited_again, _ = await self._run(finish)
        timings = Timings(
            queue=timedelta(seconds=waited + waited_again),
            preprocess=timedelta(seconds=preparing),
            inference=timedelta(seconds=inferring),
            postprocess=drawn.timings.postprocess,
            encode=drawn.timings.encode,
        )
        return Outlined(corrected, inferred.version, drawn, timings)

    async def bring(self, shown: Shown, spec: ModelSpec, *, geometry: Geometry, before: Before | None) -> Outlined:
        """The answer that is the mask that a person brought along; no network is asked.

        Args:
            shown: What was shown of the object, which a mask began.
            spec: Of the model that is to correct it.
            geometry: Of the image as it came.
            before: The mask that the caller has.
        """
        threshold = spec.output.threshold

        def work() -> tuple[Answered, Drawn]:
            begun = time.perf_counter()
            answered = brought(shown, geometry=geometry, spec=spec)
            return answered, self._drawn(answered, shown, geometry, threshold, before, begun)

        (answered, drawn), waited, _ = await self._run(work)
        return Outlined(answered, "", drawn, replace(drawn.timings, queue=timedelta(seconds=waited)))

    async def draw(
        self, answered: Answered, shown: Shown, *, geometry: Geometry, threshold: float, before: Before | None
    ) -> Drawn:
        """The mask of an answer that is there already."""
        drawn, _, _ = await self._run(
            lambda: self._drawn(answered, shown, geometry, threshold, before, time.perf_counter())
        )
        return drawn

    @staticmethod
    def nothing(before: Before | None) -> Drawn:
        """The empty mask."""
        return _packed(np.zeros((1, 1, 1), np.bool_), (0, 0, 0), before, Timings())

    def _drawn(
        self,
        answered: Answered,
        shown: Shown,
        geometry: Geometry,
        threshold: float,
        before: Before | None,
        begun: float,
    ) -> Drawn:
        mask, offset = restore(answered, shown, geometry=geometry, threshold=threshold)
        timings = Timings(postprocess=timedelta(seconds=time.perf_counter() - begun))
        return _packed(mask, offset, before, timings)

    async def _run(self, work: Callable[[], _Result]) -> tuple[_Result, float, float]:
        """Run work on a thread: its result, seconds waited for the thread, seconds of work."""
        asked = time.perf_counter()

        def timed() -> tuple[_Result, float, float]:
            begun = time.perf_counter()
            result = work()
            return result, begun - asked, time.perf_counter() - begun

        return await asyncio.get_running_loop().run_in_executor(self._executor, timed)


def _packed(
    mask: npt.NDArray[np.bool_], offset: tuple[int, int, int], before: Before | None, timings: Timings
) -> Drawn:
    begun = time.perf_counter()
    if before is None:
        packed = pack(mask, offset)
    else:
        packed = pack_change(mask, offset, before=(before.mask, before.offset), revision=before.revision)
    timings = replace(timings, encode=timedelta(seconds=time.perf_counter() - begun))
    return Drawn(packed, mask, offset, timings)
