"""Undo, redo and reset return stored masks."""

from __future__ import annotations

import pytest

from gateway.core.sessions.request import AnnotationRequest
from sixpoint import errors
from sixpoint.prompts import Click, Prompt
from tests.gateway.core.sessions.engine.process import Process
from tests.gateway.prompts import ADD, BOX, SIX, TAKE
from tests.support.callers import NOBODY


async def test_undo_and_redo_give_the_masks_that_were_given(process: Process) -> None:
    session = await process.open()
    calls: list[list[Prompt]] = [[SIX], [ADD], [TAKE], [BOX], [Click((9, 9, 9))]]
    given = [(await process.annotate(session, *call)).mask for call in calls]
    asked = len(process.inference.tensors)
    undone = [(await process.engine.undo(AnnotationRequest(NOBODY, session))).mask for _ in range(5)]
    assert undone[:4] == given[3::-1]
    assert undone[4].voxel_count == 0
    with pytest.raises(errors.NothingToUndo):
        await process.engine.undo(AnnotationRequest(NOBODY, session))
    assert [(await process.engine.redo(AnnotationRequest(NOBODY, session))).mask for _ in range(5)] == given
    with pytest.raises(errors.NothingToRedo):
        await process.engine.redo(AnnotationRequest(NOBODY, session))
    assert len(process.inference.tensors) == asked, "nothing was computed anew"


async def test_reset_can_be_redone_and_corrections_go_on_from_there(process: Process) -> None:
    session, reference = await process.open(), await process.open()
    for one in (session, reference):
        await process.annotate(one, SIX)
    emptied = await process.engine.reset(AnnotationRequest(NOBODY, session))
    assert (emptied.mask.voxel_count, emptied.segment.head, emptied.segment.length, emptied.model) == (0, 0, 1, "")
    assert (await process.engine.reset(AnnotationRequest(NOBODY, session))).revision == emptied.revision, (
        "nothing to reset is no change"
    )
    with pytest.raises(errors.NothingToCorrect):
        await process.annotate(session, ADD)
    await process.engine.redo(AnnotationRequest(NOBODY, session))
    corrected, expected = await process.annotate(session, ADD), await process.annotate(reference, ADD)
    assert corrected.mask == expected.mask
    with pytest.raises(errors.NothingToRedo):
        await process.engine.redo(AnnotationRequest(NOBODY, session))


async def test_segments_of_a_session_do_not_touch_each_other(process: Process) -> None:
    session = await process.open()
    first = await process.annotate(session, SIX)
    await process.annotate(session, BOX, segment=2)
    await process.annotate(session, TAKE, segment=2)
    await process.engine.undo(AnnotationRequest(NOBODY, session, segment=2))
    mask = await process.engine.mask(AnnotationRequest(NOBODY, session))
    assert (mask.mask, mask.revision) == (first.mask, 4)
    assert (await process.engine.mask(AnnotationRequest(NOBODY, session, segment=9))).mask.voxel_count == 0
