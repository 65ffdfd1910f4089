"""A client that has the previous mask gets the box that changed."""

from __future__ import annotations

import numpy as np

from gateway.core.sessions.request import AnnotationRequest
from gateway.storage.database import Database
from tests.gateway.core.sessions.engine.process import Process, voxels
from tests.gateway.prompts import ADD, SIX, TAKE
from tests.support.callers import NOBODY


async def test_a_caller_that_has_the_mask_gets_what_changed(process: Process) -> None:
    session, reference = await process.open(), await process.open()
    have = voxels((await process.annotate(session, SIX)).mask)
    await process.annotate(reference, SIX)
    for number, (call, whole) in enumerate(
        [
            (process.annotate(session, ADD, base_revision=1), process.annotate(reference, ADD)),
            (process.annotate(session, TAKE, base_revision=2), process.annotate(reference, TAKE)),
            (
                process.engine.undo(AnnotationRequest(NOBODY, session, base_revision=3)),
                process.engine.undo(AnnotationRequest(NOBODY, reference)),
            ),
            (
                process.engine.reset(AnnotationRequest(NOBODY, session, base_revision=4)),
                process.engine.reset(AnnotationRequest(NOBODY, reference)),
            ),
            (
                process.engine.redo(AnnotationRequest(NOBODY, session, base_revision=5)),
                process.engine.redo(AnnotationRequest(NOBODY, reference)),
            ),
        ],
        1,
    ):
        answer, expected = await call, await whole
        assert answer.mask.base_revision == number
        have = voxels(answer.mask, have)
        assert np.array_equal(have, voxels(expected.mask))
        assert answer.mask.voxel_count == np.count_nonzero(have)


async def test_a_caller_that_has_another_mask_gets_the_whole_one(process: Process, database: Database) -> None:
    session = await process.open()
    await process.annotate(session, SIX)
    await process.annotate(session, ADD)
    for base in (1, 3, 99, -1):
        assert (await process.annotate(session, TAKE, base_revision=base)).mask.base_revision in (0, base)
        assert (await process.engine.mask(AnnotationRequest(NOBODY, session, base_revision=1))).mask.base_revision == 0
    assert (
        await Process(database).engine.mask(AnnotationRequest(NOBODY, session, base_revision=6))
    ).mask.base_revision == 0


async def test_a_new_object_comes_whole(process: Process) -> None:
    session = await process.open()
    await process.annotate(session, SIX)
    assert (await process.annotate(session, SIX, base_revision=1)).mask.base_revision == 0


async def test_when_nothing_changed_an_empty_box_says_so(process: Process) -> None:
    session = await process.open()
    whole = await process.annotate(session, SIX)
    answer = await process.engine.mask(AnnotationRequest(NOBODY, session, base_revision=1))
    assert answer.mask.lower == answer.mask.upper
    assert (answer.mask.base_revision, answer.mask.voxel_count) == (1, whole.mask.voxel_count)
