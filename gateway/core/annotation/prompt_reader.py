"""Read prompts on threads where that takes long, so that the event loop goes on."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import replace
from functools import partial

from gateway.core.annotation.object_extent import expand_mask
from gateway.core.annotation.prompt_state import ObjectPrompts, PromptBatch, place_prompts
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

    async def place(self, prompts: Sequence[Prompt], *, geometry: Geometry) -> PromptBatch:
        """Check the prompts of one call, and convert them to canonical voxel indices: see :func:`place_prompts`."""
        if len(prompts) <= _MAX_ON_LOOP:
            return place_prompts(prompts, geometry=geometry)
        work = partial(place_prompts, prompts, geometry=geometry)
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
