"""What clicks and scribbles are, one after another, where a client has nothing else to say of an object.

All doors whose clients begin an object by clicking on it ask here, so that the same prompts give the same mask.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable, Sequence

from gateway.core.runtime import Admission
from gateway.http.windows.beginning import begin_around, take_prompt
from sixpoint.geometry import Geometry
from sixpoint.mask import PackedMask
from sixpoint.model_spec import ModelSpec
from sixpoint.prompts import Click, Prompt, Scribble

__all__ = ["ObjectSteps"]


class ObjectSteps:
    """Returns the prompts of each step.

    Args:
        geometry: Geometry of the image.
        spec: Spec of the model.
        memory: Memory of answers.
    """

    def __init__(self, geometry: Geometry, spec: ModelSpec, *, memory: Admission) -> None:
        self._geometry = geometry
        self._spec = spec
        self._memory = memory

    async def of(
        self, prompt: Click | Scribble, earlier: Sequence[Prompt], current: Callable[[], Awaitable[PackedMask]]
    ) -> list[Prompt]:
        """Return the prompts of the step that takes a click or a scribble.

        Args:
            prompt: The click or scribble.
            earlier: Prompts of the object so far, in order.
            current: Function that returns the mask of the object so far; called if it begins anew.

        Raises:
            PromptError: A scribble exceeds the image.
            ResourceExhausted: There is no memory for the mask now.
        """
        prompts = take_prompt(prompt, earlier, self._geometry, self._spec)
        if not earlier or len(prompts) == 1:
            return prompts
        mask = await current()
        # The box as voxels, and what of it is looked at in one go.
        nbytes = 2 * math.prod(b - a for a, b in zip(mask.lower, mask.upper, strict=True))
        async with self._memory.slot():
            self._memory.check(nbytes, what="the mask")
            async with self._memory.memory(nbytes):
                return await asyncio.to_thread(take_prompt, prompt, earlier, self._geometry, self._spec, mask=mask)

    def at_once(self, clicks: Sequence[Click]) -> list[Prompt]:
        """Return the prompts of one step that takes many clicks.

        Args:
            clicks: All clicks of the object.
        """
        positive = [click.point for click in clicks if click.positive]
        return [*begin_around(positive, self._geometry, self._spec), *clicks]
