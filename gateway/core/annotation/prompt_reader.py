"""Read prompts on threads where that takes long, so that the event loop goes on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import replace
from functools import partial

from gateway.core.annotation.object_extent import expand_mask
from gateway.core.annotation.prompt_state import ObjectPrompts, PromptBatch, place_prompts
from gateway.core.annotation.strokes import estimate_reading_memory
from gateway.core.runtime.process.threads import run_to_end
from sixpoint.geometry import Geometry
from sixpoint.prompts import Prompt

__all__ = ["PromptReader"]

# A prompt takes 0.1 ms to place; fewer prompts take less time than the way to a thread and back.
_MAX_ON_LOOP = 16


class PromptReader:
    """Reads prompts.

    Args:
        executor: Threads for what takes long.
    """

    def __init__(self, executor: Executor) -> None:
        self._executor = executor

    async def place(
        self,
        prompts: Sequence[Prompt],
        *,
        geometry: Geometry,
        reserve: Callable[[int], AbstractAsyncContextManager[None]],
    ) -> PromptBatch:
        """Check the prompts of one call, and convert them to canonical voxel indices: see :func:`place_prompts`.

        Args:
            prompts: Prompts in the order in which they were given.
            geometry: Geometry of the image as uploaded.
            reserve: Function that waits for bytes of memory, and reserves them while the result is entered.
        """
        needed = estimate_reading_memory(prompts, geometry=geometry)
        if len(prompts) <= _MAX_ON_LOOP and not needed:
            return place_prompts(prompts, geometry=geometry)
        work = partial(place_prompts, prompts, geometry=geometry)
        async with reserve(needed) if needed else nullcontext():
            return await run_to_end(self._executor, work)

    async def expand(self, prompts: ObjectPrompts, *, geometry: Geometry) -> ObjectPrompts:
        """Unpack the initial mask of an object; prompts without a packed one are returned as they are.

        Args:
            prompts: Prompts for the object.
            geometry: Geometry of the image as uploaded.

        Raises:
            PromptError: When the mask is damaged, or empty.
        """
        if prompts.extent.packed_mask is None:
            return prompts
        work = partial(expand_mask, prompts.extent, geometry=geometry)
        return replace(prompts, extent=await run_to_end(self._executor, work))
