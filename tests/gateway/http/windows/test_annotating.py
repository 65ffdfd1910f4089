"""A client's points meet another call of the same window, on a real database."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest

from gateway.core.runtime import Admission, Deadline, Model
from gateway.core.sessions import AnnotationRequest, AnnotationResult, Engine
from gateway.http.windows.annotating import Annotating
from gateway.http.windows.handles import ImageHandle
from gateway.http.windows.object_steps import ObjectSteps
from sixpoint.prompts import Click, ExtremePoints, Prompt
from tests.gateway.core.sessions.engine.process import VOLUME, Process, database_with_image, voxels
from tests.support.callers import NOBODY
from tests.support.models import CLICKS_SPEC

MODEL = Model("clicks", "7", CLICKS_SPEC)
SIX = ExtremePoints(((5, 18, 16), (35, 18, 16), (20, 5, 16), (20, 31, 16), (20, 18, 4), (20, 18, 28)))


@pytest.fixture
async def process(tmp_path: Path) -> AsyncIterator[Process]:
    async with database_with_image(tmp_path) as database:
        yield Process(database)


class Meeting:
    """The engine; before it gives a mask, another call begins the object anew once."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.met = 0
        self.annotate, self.reset = engine.annotate, engine.reset

    async def mask(self, request: AnnotationRequest) -> AnnotationResult:
        if not self.met:
            self.met += 1
            await self._engine.reset(AnnotationRequest(NOBODY, request.session_id, request.segment))
        return await self._engine.mask(request)


class Counting:
    """The engine, which notes the prompts of each step."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.steps: list[int] = []
        self.reset, self.mask = engine.reset, engine.mask

    async def annotate(
        self, request: AnnotationRequest, prompts: Sequence[Prompt], *, deadline: Deadline
    ) -> AnnotationResult:
        self.steps.append(len(prompts))
        return await self._engine.annotate(request, prompts, deadline=deadline)


async def test_new_clicks_are_steps_of_their_own_unless_they_are_many(process: Process) -> None:
    counting = Counting(process.engine)
    annotating = Annotating(sessions=process.sessions, engine=counting)  # type: ignore[arg-type]
    steps = ObjectSteps(VOLUME.geometry, CLICKS_SPEC, memory=Admission(budget=2**30, max_active=4))
    clicks = [Click((float(8 + number), 18.0, 16.0)) for number in range(24)]

    async def ask(*sent: Click) -> list[int]:
        counting.steps.clear()
        await annotating.click(
            ImageHandle(VOLUME.digest), MODEL, "liver", sent, steps=steps, principal=NOBODY, deadline=Deadline.after(20)
        )
        return list(counting.steps)

    # A box comes with the first one.
    assert await ask(*clicks[:2]) == [2, 1]
    assert await ask(*clicks[:3]) == [1]
    assert await ask(*clicks[:3]) == []
    # One was taken back.
    assert await ask(*clicks[:2]) == [2, 1]
    assert await ask(*clicks) == [25]
    assert await ask(*clicks, Click((20.0, 5.0, 16.0), False)) == [1]


async def test_the_mask_of_another_calls_points_is_never_given(process: Process) -> None:
    meeting = Meeting(process.engine)
    annotating = Annotating(sessions=process.sessions, engine=meeting)  # type: ignore[arg-type]
    handle = ImageHandle(VOLUME.digest)

    async def ask(*prompts: Prompt) -> int:
        result = await annotating.annotate(
            handle, MODEL, "liver", prompts, principal=NOBODY, deadline=Deadline.after(20)
        )
        return int(voxels(result.mask).sum())

    first = await ask(SIX, Click((20, 18, 16)))
    assert first > 0
    # The same points again: nothing is new, so that the mask is only read.
    assert await ask(SIX, Click((20, 18, 16))) == first
    assert meeting.met == 1
