"""The history of segments, on real databases and between two processes."""

from __future__ import annotations

import numpy as np
import pytest
from sqlalchemy import update

from gateway.core.sessions import SegmentRow
from gateway.storage import Database
from gateway.storage.schema import steps
from sixpoint import errors
from sixpoint.prompts import Click
from tests.gateway.core.sessions.session_process import BOX, Clock, SessionProcess, answer_of
from tests.support.callers import NOBODY


async def test_another_process_restores_the_state(process: SessionProcess, database: Database, clock: Clock) -> None:
    opened = await process.open()
    await process.annotate(opened.row.id, BOX)
    own = await process.annotate(opened.row.id, Click((3, 4, 5)), Click((4, 4, 5), positive=False))
    other = await SessionProcess(database, clock).history.load(opened.row.id, 1, principal=NOBODY)
    assert (other.row, other.segment) == (own.row, own.segment)
    assert answer_of(other.state) == answer_of(own.state) == 21
    assert other.state.prediction is not None
    assert own.state.prediction is not None
    assert other.state.prediction.roi == own.state.prediction.roi
    assert other.state.prompts is not None
    assert own.state.prompts is not None
    assert np.array_equal(other.state.prompts.clicks.points, own.state.prompts.clicks.points)
    assert np.array_equal(other.state.prompts.extent.box, own.state.prompts.extent.box)
    assert (other.state.start_step, other.state.model, other.state.version, other.state.threshold) == (1, "m", "3", 0.4)


async def test_the_head_moves_and_new_prompts_replace_redoable_steps(process: SessionProcess) -> None:
    opened = await process.open()
    for prompts in ((BOX,), (Click((3, 4, 5)),), (BOX,)):
        loaded = await process.annotate(opened.row.id, *prompts)
    assert (loaded.segment.head, loaded.segment.length, loaded.state.start_step) == (3, 3, 3)
    back = await process.state_at(opened.row.id, 1, 2)
    assert (answer_of(back), back.start_step) == (21, 1)
    await process.history.move_head(loaded, 2, back)
    loaded = await process.history.load(opened.row.id, 1, principal=NOBODY)
    assert (loaded.segment.head, loaded.segment.length, loaded.row.revision) == (2, 3, 4)
    loaded = await process.annotate(opened.row.id, Click((5, 5, 5)))
    assert (loaded.segment.head, loaded.segment.length) == (3, 3)
    assert [(row.number, row.start_step, held) for row, held in await process.steps(opened.row.id)] == [
        (1, 1, True),
        (2, 1, True),
        (3, 1, True),
    ]


async def test_each_segment_has_its_own_history(process: SessionProcess) -> None:
    opened = await process.open()
    await process.annotate(opened.row.id, BOX)
    await process.annotate(opened.row.id, BOX, segment=7)
    await process.annotate(opened.row.id, Click((3, 4, 5)))
    found = await process.sessions.get(opened.row.id, principal=NOBODY)
    assert found.segments == (SegmentRow(1, "", 2, 2), SegmentRow(7, "", 1, 1))
    assert answer_of((await process.history.load(opened.row.id, 7, principal=NOBODY)).state) == 17
    assert len(await process.steps(opened.row.id, segment=7)) == 1


async def test_of_two_processes_at_one_revision_the_later_one_gets_an_error(
    process: SessionProcess, database: Database, clock: Clock
) -> None:
    opened = await process.open()
    other = SessionProcess(database, clock)
    mine, theirs = (
        await process.history.load(opened.row.id, 1, principal=NOBODY),
        await other.history.load(opened.row.id, 1, principal=NOBODY),
    )
    await other.history.append(theirs, [BOX], other.state_after(theirs, BOX))
    with pytest.raises(errors.StaleRevision, match="revision 1, the call was made for 0"):
        await process.history.append(mine, [BOX], process.state_after(mine, BOX))
    assert (await process.history.load(opened.row.id, 1, principal=NOBODY)).segment == SegmentRow(1, "", 1, 1)


async def test_a_cached_state_is_not_used_after_a_change_by_another_process(
    process: SessionProcess, database: Database, clock: Clock
) -> None:
    opened = await process.open()
    await process.annotate(opened.row.id, BOX)
    await SessionProcess(database, clock).annotate(opened.row.id, Click((3, 4, 5)))
    assert answer_of((await process.history.load(opened.row.id, 1, principal=NOBODY)).state) == 21


async def test_a_repeated_update_does_not_revive_an_outdated_cached_state(
    process: SessionProcess, database: Database, clock: Clock
) -> None:
    opened = await process.open()
    await process.annotate(opened.row.id, BOX)
    renamed = await process.sessions.update(
        opened.row.id, model=None, names=[(1, "liver")], request_id="u", principal=NOBODY
    )
    await SessionProcess(database, clock).annotate(opened.row.id, Click((3, 4, 5)))
    again = await process.sessions.update(
        opened.row.id, model=None, names=[(1, "liver")], request_id="u", principal=NOBODY
    )
    assert (renamed.row.revision, again.row.revision) == (2, 3)
    loaded = await process.annotate(opened.row.id, Click((5, 4, 5)))
    assert (answer_of(loaded.state), loaded.segment) == (31, SegmentRow(1, "liver", 3, 3))
    assert len(await process.steps(opened.row.id)) == 3


async def test_no_step_is_added_to_a_session_closed_meanwhile(process: SessionProcess) -> None:
    opened = await process.open()
    loaded = await process.history.load(opened.row.id, 1, principal=NOBODY)
    await process.sessions.close(opened.row.id, principal=NOBODY)
    with pytest.raises(errors.SessionNotFound):
        await process.history.append(loaded, [BOX], process.state_after(loaded, BOX))


async def test_a_repeated_call_is_recognised_by_its_request_id(process: SessionProcess) -> None:
    opened = await process.open()
    await process.annotate(opened.row.id, BOX, request_id="r1")
    loaded = await process.history.load(opened.row.id, 1, request_ids=("r1",), principal=NOBODY)
    assert loaded.outcome is not None
    assert (loaded.outcome.revision, loaded.outcome.segment, loaded.outcome.head) == (1, 1, 1)
    assert (await process.history.load(opened.row.id, 1, request_ids=("r2",), principal=NOBODY)).outcome is None


async def test_a_damaged_answer_is_an_error_that_says_what_to_do(
    process: SessionProcess, database: Database, clock: Clock
) -> None:
    opened = await process.open()
    await process.annotate(opened.row.id, BOX)
    await database.write(lambda conn: conn.execute(update(steps).values(answer=b"no zstd")))
    with pytest.raises(errors.InternalError, match="undo the step"):
        await SessionProcess(database, clock).history.load(opened.row.id, 1, principal=NOBODY)
