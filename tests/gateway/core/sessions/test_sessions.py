"""Sessions on real databases: open, list, change, fork and close them."""

from __future__ import annotations

import pytest

from gateway.core.sessions import SegmentRow
from gateway.storage import Database
from sixpoint import errors
from sixpoint.prompts import Click
from tests.gateway.core.sessions.session_process import BOX, IDLE, OTHER, Clock, SessionProcess, answer_of
from tests.support.callers import NOBODY, caller


async def test_a_session_is_found_again_by_another_process(
    process: SessionProcess, database: Database, clock: Clock
) -> None:
    opened = await process.open("anna")
    found = await SessionProcess(database, clock).sessions.get(opened.row.id, principal=NOBODY)
    assert found == opened
    assert (found.row.model, found.row.revision, found.row.owner) == ("m", 0, "anna")
    assert found.expires == clock() + IDLE


async def test_an_image_must_be_there(process: SessionProcess) -> None:
    with pytest.raises(errors.ImageNotFound, match="upload it first"):
        await process.sessions.create(principal=caller(""), digest="e" * 64, model="m")


async def test_the_same_request_opens_one_session(process: SessionProcess) -> None:
    first, again = await process.open("anna", "r1"), await process.open("anna", "r1")
    assert first.row.id == again.row.id
    assert (await process.open("bert", "r1")).row.id != first.row.id


async def test_a_request_id_of_a_session_on_another_image_is_refused(process: SessionProcess) -> None:
    opened = await process.open(request_id="1")
    assert await process.open(request_id="1") == opened
    with pytest.raises(errors.InvalidArgument, match="give each call a random one"):
        await process.sessions.create(principal=caller(""), digest=OTHER, model="m", request_id="1")
    second = await process.sessions.create(principal=caller(""), digest=OTHER, model="m", request_id="2")
    with pytest.raises(errors.InvalidArgument, match="give each call a random one"):
        await process.sessions.fork(second.row.id, principal=caller(""), segment=0, step=0, request_id="1")


async def test_limits_for_all_and_for_one_owner_are_enforced(database: Database, clock: Clock) -> None:
    process = SessionProcess(database, clock, limit=3, owner_limit=2)
    first = await process.open("anna")
    await process.open("anna")
    with pytest.raises(errors.ResourceExhausted, match="SIXPOINT_OWNER_SESSIONS"):
        await process.open("anna")
    await process.open("bert")
    with pytest.raises(errors.ResourceExhausted, match="SIXPOINT_MAX_SESSIONS"):
        await process.open("carl")
    await process.sessions.close(first.row.id, principal=NOBODY)
    await process.open("carl")


async def test_a_closed_session_is_not_found_and_can_be_closed_again(process: SessionProcess) -> None:
    opened = await process.open()
    await process.sessions.close(opened.row.id, principal=NOBODY)
    await process.sessions.close(opened.row.id, principal=NOBODY)
    await process.sessions.close("never was", principal=NOBODY)
    for session_id in (opened.row.id, "never was"):
        with pytest.raises(errors.SessionNotFound):
            await process.sessions.get(session_id, principal=NOBODY)


async def test_an_owners_sessions_are_listed_in_pages_the_last_used_first(
    process: SessionProcess, clock: Clock
) -> None:
    opened = []
    for _ in range(5):
        opened.append((await process.open("anna")).row.id)
        clock.seconds += 1
    await process.open("bert")
    await process.annotate(opened[1], BOX)
    first = await process.sessions.page(caller("anna"), size=3)
    rest = await process.sessions.page(caller("anna"), size=3, token=first.next_token)
    assert [one.row.id for one in first.sessions + rest.sessions] == [opened[i] for i in (1, 4, 3, 2, 0)]
    assert rest.next_token == ""
    assert (rest.total, rest.total_all_owners) == (5, 6)
    assert first.sessions[0].segments == (SegmentRow(1, "", 1, 1),)
    for size, token in ((-1, ""), (1001, ""), (0, "nonsense")):
        with pytest.raises(errors.InvalidArgument):
            await process.sessions.page(caller("anna"), size=size, token=token)


async def test_the_model_and_the_names_of_segments_can_be_changed(process: SessionProcess) -> None:
    opened = await process.open()
    changed = await process.sessions.update(
        opened.row.id, model="other", names=[(2, "liver")], request_id="r", principal=NOBODY
    )
    assert (changed.row.model, changed.row.revision) == ("other", 1)
    assert changed.segments == (SegmentRow(2, "liver"),)
    again = await process.sessions.update(
        opened.row.id, model="other", names=[(2, "liver")], request_id="r", principal=NOBODY
    )
    assert again.row.revision == 1
    with pytest.raises(errors.StaleRevision, match="revision 1, the call was made for 0"):
        await process.sessions.update(opened.row.id, model=None, names=[], revision=0, principal=NOBODY)
    for number, complaint in ((256, "segment 256; expected"), (0, "segment 0, which is the background; expected")):
        with pytest.raises(errors.InvalidArgument, match=f"{complaint} a number from 1 to 255"):
            await process.sessions.update(opened.row.id, model=None, names=[(number, "")], principal=NOBODY)
    with pytest.raises(errors.InvalidArgument, match="201 characters"):
        await process.sessions.update(opened.row.id, model=None, names=[(1, "x" * 201)], principal=NOBODY)
    with pytest.raises(errors.InvalidArgument, match="65 characters"):
        await process.sessions.update(opened.row.id, model=None, names=[], request_id="x" * 65, principal=NOBODY)


async def test_a_fork_copies_the_steps_up_to_the_heads(process: SessionProcess) -> None:
    opened = await process.open()
    for prompts in ((BOX,), (Click((3, 4, 5)),), (Click((5, 4, 5)),)):
        await process.annotate(opened.row.id, *prompts)
    await process.annotate(opened.row.id, BOX, segment=2)
    whole = await process.sessions.fork(opened.row.id, principal=caller("bert"), segment=0, step=0)
    early = await process.sessions.fork(opened.row.id, principal=caller("bert"), segment=1, step=2, request_id="r")
    assert (
        await process.sessions.fork(opened.row.id, principal=caller("bert"), segment=1, step=2, request_id="r")
    ) == early
    assert whole.segments == (SegmentRow(1, "", 3, 3), SegmentRow(2, "", 1, 1))
    assert early.segments == (SegmentRow(1, "", 2, 2), SegmentRow(2, "", 1, 1))
    assert answer_of((await process.history.load(early.row.id, 1, principal=NOBODY)).state) == 21
    await process.annotate(early.row.id, Click((6, 4, 5)))
    assert (await process.sessions.get(opened.row.id, principal=NOBODY)).segments == whole.segments
    empty = await process.sessions.fork(opened.row.id, principal=caller(""), segment=1, step=0)
    assert empty.segments[0] == SegmentRow(1, "", 0, 0)
    for segment, step, what in ((3, 0, "no segment 3"), (1, 4, "step 4 of segment 1; it has 3"), (1, -1, "step -1")):
        with pytest.raises(errors.InvalidArgument, match=what):
            await process.sessions.fork(opened.row.id, principal=caller(""), segment=segment, step=step)
