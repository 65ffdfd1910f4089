"""Scribbles and lassos are steps of a session as all prompts are: undone, redone, forked, replayed and resumed."""

from __future__ import annotations

import math

import numpy as np
import pytest

from gateway.core.sessions.request import AnnotationRequest
from gateway.storage.database import Database
from sixpoint import errors
from sixpoint.prompts import Click, Lasso, Prompt, Scribble
from tests.gateway.core.sessions.engine.process import Process, voxels
from tests.gateway.prompts import SIX
from tests.support.callers import NOBODY

CIRCLE = [(20 + 6.3 * math.cos(a), 17 + 4.7 * math.sin(a), 16) for a in np.linspace(0, 2 * math.pi, 40)]
LASSO = Lasso(CIRCLE)
STROKE = Scribble([(x, 17, 16) for x in range(3, 16)], False)
CALLS: list[list[Prompt]] = [[LASSO], [STROKE, Click((36, 17, 16))], [Lasso(CIRCLE, False)]]


async def test_a_process_that_starts_anew_goes_on_with_the_same_masks(process: Process, database: Database) -> None:
    session, again = await process.open(), await process.open()
    for call in CALLS[:-1]:
        await process.annotate(session, *call)
        await process.annotate(again, *call)
    kept = await process.annotate(session, *CALLS[-1])
    resumed = await Process(database).annotate(again, *CALLS[-1])
    assert resumed.mask == kept.mask
    assert voxels(kept.mask)[16, 17, 3:16].tolist() == [0] * 13
    shown = await Process(database).engine.mask(AnnotationRequest(NOBODY, session))
    assert shown.mask == kept.mask


async def test_undo_and_redo_bring_back_the_same_masks(process: Process, database: Database) -> None:
    session = await process.open()
    answers = [await process.annotate(session, *call) for call in CALLS]
    request = AnnotationRequest(NOBODY, session)
    back = [await Process(database).engine.undo(request) for _ in range(2)]
    assert [each.mask for each in back] == [answers[1].mask, answers[0].mask]
    forth = [await process.engine.redo(request) for _ in range(2)]
    assert [each.mask for each in forth] == [answers[1].mask, answers[2].mask]


async def test_replaying_the_log_gives_the_same_masks(process: Process) -> None:
    session, again = await process.open(), await process.open()
    answers = [await process.annotate(session, *call) for call in CALLS]
    steps = await process.steps(session)
    assert isinstance(steps[0][0].prompts[0], Lasso)
    assert steps[0][0].prompts[0].extent == ((14, 13, 8), (27, 22, 25))
    assert [row.prompts for row, _ in steps[1:]] == [tuple(call) for call in CALLS[1:]]
    replayed = [await process.annotate(again, *row.prompts) for row, _ in steps]
    assert [each.mask for each in replayed] == [each.mask for each in answers]


async def test_a_scribble_that_is_damaged_changes_nothing(process: Process) -> None:
    session = await process.open()
    await process.annotate(session, SIX)
    with pytest.raises(errors.PromptError, match="outside the image"):
        await process.annotate(session, Scribble([(39, 35, 32)]))
    assert len(await process.steps(session)) == 1
