"""A client's points meet another call of the same window, on a real database."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway.core.runtime import Deadline, Model
from gateway.core.sessions import AnnotationRequest, AnnotationResult, Engine
from gateway.http.windows.annotating import Annotating
from gateway.http.windows.handles import ImageHandle
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
