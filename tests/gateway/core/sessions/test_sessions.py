"""Sessions on real databases: opened, listed, forked, changed, closed; their end; and the log between two processes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace

import numpy as np
import pytest
from sqlalchemy import func, insert, select, update

from gateway.core.annotation.preprocess import Prediction
from gateway.core.annotation.prompt_state import accumulate, read_prompts
from gateway.core.sessions import SegmentHistory, SegmentRow, SegmentStateCache, Session, SessionRow, Sessions, expiry
from gateway.core.sessions.history import Snapshot
from gateway.core.sessions.segment_state import SegmentState
from gateway.storage import Database, session_repository
from gateway.storage.schema import images, requests, segments, steps
from gateway.storage.session_changes import SqlSessionWriter
from sixpoint import errors
from sixpoint.geometry import Geometry
from sixpoint.preprocessing import Roi
from sixpoint.prompts import Box, Click, InitialMask, Prompt
from tests.gateway.core.annotation.network_inputs import network_input
from tests.gateway.prompts import SIX
from tests.support.images import noisy_volume
from tests.support.models import CLICKS_SPEC

DIGEST, OTHER = "d" * 64, "f" * 64
GEOMETRY = Geometry(size=(20, 18, 16))
BOX = Box((2, 3, 4), (9, 8, 7))
IDLE = 1000.0


@dataclass
class Clock:
    seconds: float = 1e9

    def __call__(self) -> float:
        return self.seconds


@dataclass
class Process:
    """What one gateway process has on a database."""

    database: Database
    clock: Clock
    limit: int = 100
    owner_limit: int = 0
    budget: int = 2**24

    def __post_init__(self) -> None:
        hot = SegmentStateCache(self.budget)
        self.cache = hot
        self.history = SegmentHistory(repository=session_repository(self.database), cache=hot, now=self.clock)
        self.sessions = Sessions(
            repository=session_repository(self.database),
            history=self.history,
            cache=hot,
            limit=self.limit,
            owner_limit=self.owner_limit,
            idle=IDLE,
            now=self.clock,
        )

    async def open(self, owner: str = "", request_id: str = "") -> Session:
        return await self.sessions.create(owner=owner, digest=DIGEST, model="m", request_id=request_id)

    async def show(
        self, session_id: str, *prompts: Prompt, segment: int = 1, request_id: str = "", version: str = "3"
    ) -> Snapshot:
        """Add a step whose answer is made up; the segment as it is loaded after it."""
        loaded = await self.history.load(session_id, segment)
        await self.history.append(
            loaded, prompts, self.after(loaded, *prompts, version=version), request_ids=(request_id,)
        )
        return await self.history.load(session_id, segment)

    def after(self, loaded: Snapshot, *prompts: Prompt, version: str = "3") -> SegmentState:
        """Where the segment would stand after such a step."""
        call = read_prompts(prompts, geometry=GEOMETRY)
        number = loaded.segment.head + 1
        grid = np.full((4, 4, 4), 10 * number + loaded.segment.number, np.uint8)
        answered = Prediction(grid, Roi((0.0, 0.0, 0.0), (8.0, 8.0, 8.0), (4, 4, 4)))
        start_step = number if call.extent else loaded.state.start_step
        return SegmentState(start_step, accumulate(loaded.state.prompts, call), answered, "m", version, 0.4)


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    database = Database(database_url)
    await database.start()
    geometry = {name: list(getattr(GEOMETRY, name)) for name in ("size", "spacing", "origin", "direction")}
    row = {
        "digest": DIGEST,
        "geometry": geometry,
        "voxel_type": 3,
        "byte_count": 1,
        "owner": "",
        "created": 0,
        "used": 0,
    }
    rows = [row, {**row, "digest": OTHER}]
    await database.write(lambda conn: conn.execute(insert(images), rows))
    yield database
    await database.stop()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def process(database: Database, clock: Clock) -> Process:
    return Process(database, clock)


def answer_of(state: SegmentState) -> int:
    assert state.prediction is not None
    return int(state.prediction.probabilities[0, 0, 0])


# Sessions


async def test_a_session_is_found_again_by_another_process(process, database, clock):
    opened = await process.open("anna")
    found = await Process(database, clock).sessions.get(opened.row.id)
    assert found == opened
    assert (found.row.model, found.row.revision, found.row.owner) == ("m", 0, "anna")
    assert found.expires == clock() + IDLE


async def test_an_image_must_be_there(process):
    with pytest.raises(errors.ImageNotFound, match="upload it first"):
        await process.sessions.create(owner="", digest="e" * 64, model="m")


async def test_the_same_request_opens_one_session(process):
    first, again = await process.open("anna", "r1"), await process.open("anna", "r1")
    assert first.row.id == again.row.id
    assert (await process.open("bert", "r1")).row.id != first.row.id


async def test_limits_of_all_and_of_one_owner_are_said(database, clock):
    process = Process(database, clock, limit=3, owner_limit=2)
    first = await process.open("anna")
    await process.open("anna")
    with pytest.raises(errors.ResourceExhausted, match="SIXPOINT_OWNER_SESSIONS"):
        await process.open("anna")
    await process.open("bert")
    with pytest.raises(errors.ResourceExhausted, match="SIXPOINT_MAX_SESSIONS"):
        await process.open("carl")
    await process.sessions.close(first.row.id)
    await process.open("carl")


async def test_a_closed_session_is_unknown_and_closing_again_is_no_error(process):
    opened = await process.open()
    await process.sessions.close(opened.row.id)
    await process.sessions.close(opened.row.id)
    await process.sessions.close("never was")
    for session_id in (opened.row.id, "never was"):
        with pytest.raises(errors.SessionNotFound):
            await process.sessions.get(session_id)


async def test_sessions_are_listed_by_owner_and_page_the_last_used_first(process, clock):
    opened = []
    for _ in range(5):
        opened.append((await process.open("anna")).row.id)
        clock.seconds += 1
    await process.open("bert")
    await process.show(opened[1], BOX)
    first = await process.sessions.page("anna", size=3)
    rest = await process.sessions.page("anna", size=3, token=first.next_token)
    assert [one.row.id for one in first.sessions + rest.sessions] == [opened[i] for i in (1, 4, 3, 2, 0)]
    assert rest.next_token == ""
    assert (rest.total, rest.total_all_owners) == (5, 6)
    assert first.sessions[0].segments == (SegmentRow(1, "", 1, 1),)
    for size, token in ((-1, ""), (1001, ""), (0, "nonsense")):
        with pytest.raises(errors.InvalidArgument):
            await process.sessions.page("anna", size=size, token=token)


async def test_a_session_changes_its_model_and_the_names_of_its_segments(process):
    opened = await process.open()
    changed = await process.sessions.update(opened.row.id, model="other", names=[(2, "liver")], request_id="r")
    assert (changed.row.model, changed.row.revision) == ("other", 1)
    assert changed.segments == (SegmentRow(2, "liver"),)
    again = await process.sessions.update(opened.row.id, model="other", names=[(2, "liver")], request_id="r")
    assert again.row.revision == 1
    with pytest.raises(errors.StaleRevision, match="revision 1, the call was made for 0"):
        await process.sessions.update(opened.row.id, model=None, names=[], revision=0)
    with pytest.raises(errors.InvalidArgument, match="segment 256"):
        await process.sessions.update(opened.row.id, model=None, names=[(256, "")])
    with pytest.raises(errors.InvalidArgument, match="201 characters"):
        await process.sessions.update(opened.row.id, model=None, names=[(1, "x" * 201)])
    with pytest.raises(errors.InvalidArgument, match="65 characters"):
        await process.sessions.update(opened.row.id, model=None, names=[], request_id="x" * 65)


# The end


async def test_an_idle_session_expires_and_its_log_goes(process, clock, database):
    opened = await process.open()
    await process.show(opened.row.id, BOX)
    await process.sessions.expire(every=30)
    for _ in range(40):
        clock.seconds += 30
        closed = await process.sessions.expire(every=30)
    assert closed == 0
    with pytest.raises(errors.SessionExpired, match="idle"):
        await process.sessions.get(opened.row.id)
    assert await session_repository(database).read(lambda records: records.steps(opened.row.id)) == []
    clock.seconds += 8 * 86400
    await process.sessions.expire(every=1e9)
    with pytest.raises(errors.SessionNotFound):
        await process.sessions.get(opened.row.id)


async def test_use_moves_the_expiry_on(process, clock):
    opened = await process.open()
    for _ in range(60):
        clock.seconds += 30
        await process.sessions.get(opened.row.id)
        await process.sessions.expire(every=30)
    assert (await process.sessions.get(opened.row.id)).expires > clock()


async def test_the_logs_of_many_ended_sessions_go_a_few_at_a_time(process, database, clock, monkeypatch):
    monkeypatch.setattr(expiry, "_DELETED_AT_ONCE", 2)
    ended = [(await process.open()).row.id for _ in range(5)]
    kept = (await process.open()).row.id
    for session in (*ended, kept):
        await process.show(session, BOX, request_id="r")
    for session in ended:
        await process.sessions.close(session)
    clock.seconds += 1
    sizes: list[int] = []
    delete_ended = SqlSessionWriter.delete_ended

    def counted(writer, **limits):
        before = writer._conn.scalar(select(func.count()).select_from(segments))
        more = delete_ended(writer, **limits)
        sizes.append(before - writer._conn.scalar(select(func.count()).select_from(segments)))
        return more

    monkeypatch.setattr(SqlSessionWriter, "delete_ended", counted)
    await process.sessions.expire(every=30)
    assert sizes == [2, 2, 1]
    assert (await process.history.load(kept, 1)).segment.length == 1
    for table in (segments, steps, requests):
        left = await database.read(lambda conn, table=table: conn.scalars(select(table.c.session_id)).all())
        assert left == [kept]


@pytest.mark.parametrize("jump", [2 * 86400.0, -2 * 86400.0])
async def test_a_jump_of_the_clock_and_a_time_without_a_gateway_expire_nothing(process, clock, jump):
    opened = await process.open()
    await process.sessions.expire(every=30)
    clock.seconds += jump
    assert await process.sessions.expire(every=30) == 0
    found = await process.sessions.get(opened.row.id)
    assert clock() <= found.expires <= clock() + IDLE


@pytest.mark.parametrize("behind", [0.001, 20.0])
async def test_gateways_whose_clocks_differ_a_little_leave_the_times_of_last_use_as_they_are(
    process, database, clock, behind
):
    other = Process(database, Clock(clock() - behind))
    opened = await process.open()
    for _ in range(5):
        for one in (process, other):
            await one.sessions.expire(every=30)
            one.clock.seconds += 5
    assert (await process.sessions.page("")).sessions[0].row.used == opened.row.used


# The log


async def test_what_was_shown_and_answered_is_read_by_another_process(process, database, clock):
    opened = await process.open()
    await process.show(opened.row.id, BOX)
    own = await process.show(opened.row.id, Click((3, 4, 5)), Click((4, 4, 5), positive=False))
    other = await Process(database, clock).history.load(opened.row.id, 1)
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


async def test_the_head_moves_back_and_forth_and_new_prompts_end_what_can_be_redone(process):
    opened = await process.open()
    for prompts in ((BOX,), (Click((3, 4, 5)),), (BOX,)):
        loaded = await process.show(opened.row.id, *prompts)
    assert (loaded.segment.head, loaded.segment.length, loaded.state.start_step) == (3, 3, 3)
    back = await process.history.state_at(opened.row.id, 1, 2)
    assert (answer_of(back), back.start_step) == (21, 1)
    await process.history.move_head(loaded, 2, back)
    loaded = await process.history.load(opened.row.id, 1)
    assert (loaded.segment.head, loaded.segment.length, loaded.row.revision) == (2, 3, 4)
    loaded = await process.show(opened.row.id, Click((5, 5, 5)))
    assert (loaded.segment.head, loaded.segment.length) == (3, 3)
    assert [(row.number, row.start_step, held) for row, held in await process.sessions.steps(opened.row.id)] == [
        (1, 1, True),
        (2, 1, True),
        (3, 1, True),
    ]


async def test_segments_have_logs_of_their_own(process):
    opened = await process.open()
    await process.show(opened.row.id, BOX)
    await process.show(opened.row.id, BOX, segment=7)
    await process.show(opened.row.id, Click((3, 4, 5)))
    found = await process.sessions.get(opened.row.id)
    assert found.segments == (SegmentRow(1, "", 2, 2), SegmentRow(7, "", 1, 1))
    assert answer_of((await process.history.load(opened.row.id, 7)).state) == 17
    assert len(await process.sessions.steps(opened.row.id, segment=7)) == 1


async def test_of_two_processes_at_one_revision_one_is_told_that_it_came_late(process, database, clock):
    opened = await process.open()
    other = Process(database, clock)
    mine, theirs = await process.history.load(opened.row.id, 1), await other.history.load(opened.row.id, 1)
    await other.history.append(theirs, [BOX], other.after(theirs, BOX))
    with pytest.raises(errors.StaleRevision, match="revision 1, the call was made for 0"):
        await process.history.append(mine, [BOX], process.after(mine, BOX))
    assert (await process.history.load(opened.row.id, 1)).segment == SegmentRow(1, "", 1, 1)


async def test_what_is_at_hand_is_not_trusted_when_another_process_went_on(process, database, clock):
    opened = await process.open()
    await process.show(opened.row.id, BOX)
    await Process(database, clock).show(opened.row.id, Click((3, 4, 5)))
    assert answer_of((await process.history.load(opened.row.id, 1)).state) == 21


async def test_a_repeated_update_does_not_make_current_what_another_process_went_beyond(process, database, clock):
    opened = await process.open()
    await process.show(opened.row.id, BOX)
    renamed = await process.sessions.update(opened.row.id, model=None, names=[(1, "liver")], request_id="u")
    await Process(database, clock).show(opened.row.id, Click((3, 4, 5)))
    again = await process.sessions.update(opened.row.id, model=None, names=[(1, "liver")], request_id="u")
    assert (renamed.row.revision, again.row.revision) == (2, 3)
    loaded = await process.show(opened.row.id, Click((5, 4, 5)))
    assert (answer_of(loaded.state), loaded.segment) == (31, SegmentRow(1, "liver", 3, 3))
    assert len(await process.sessions.steps(opened.row.id)) == 3


async def test_a_session_that_was_closed_meanwhile_takes_no_step(process):
    opened = await process.open()
    loaded = await process.history.load(opened.row.id, 1)
    await process.sessions.close(opened.row.id)
    with pytest.raises(errors.SessionNotFound):
        await process.history.append(loaded, [BOX], process.after(loaded, BOX))


async def test_a_call_that_was_carried_out_is_known_by_its_id(process):
    opened = await process.open()
    await process.show(opened.row.id, BOX, request_id="r1")
    loaded = await process.history.load(opened.row.id, 1, request_ids=("r1",))
    assert loaded.outcome is not None
    assert (loaded.outcome.revision, loaded.outcome.segment, loaded.outcome.head) == (1, 1, 1)
    assert (await process.history.load(opened.row.id, 1, request_ids=("r2",))).outcome is None


async def test_an_id_that_opened_a_session_on_another_image_is_refused(process):
    opened = await process.open(request_id="1")
    assert await process.open(request_id="1") == opened
    with pytest.raises(errors.InvalidArgument, match="give each call a random one"):
        await process.sessions.create(owner="", digest=OTHER, model="m", request_id="1")
    second = await process.sessions.create(owner="", digest=OTHER, model="m", request_id="2")
    with pytest.raises(errors.InvalidArgument, match="give each call a random one"):
        await process.sessions.fork(second.row.id, owner="", segment=0, step=0, request_id="1")


async def test_a_fork_stands_where_the_other_stood(process):
    opened = await process.open()
    for prompts in ((BOX,), (Click((3, 4, 5)),), (Click((5, 4, 5)),)):
        await process.show(opened.row.id, *prompts)
    await process.show(opened.row.id, BOX, segment=2)
    whole = await process.sessions.fork(opened.row.id, owner="bert", segment=0, step=0)
    early = await process.sessions.fork(opened.row.id, owner="bert", segment=1, step=2, request_id="r")
    assert (await process.sessions.fork(opened.row.id, owner="bert", segment=1, step=2, request_id="r")) == early
    assert whole.segments == (SegmentRow(1, "", 3, 3), SegmentRow(2, "", 1, 1))
    assert early.segments == (SegmentRow(1, "", 2, 2), SegmentRow(2, "", 1, 1))
    assert answer_of((await process.history.load(early.row.id, 1)).state) == 21
    await process.show(early.row.id, Click((6, 4, 5)))
    assert (await process.sessions.get(opened.row.id)).segments == whole.segments
    empty = await process.sessions.fork(opened.row.id, owner="", segment=1, step=0)
    assert empty.segments[0] == SegmentRow(1, "", 0, 0)
    for segment, step, what in ((3, 0, "no segment 3"), (1, 4, "step 4 of segment 1; it has 3"), (1, -1, "step -1")):
        with pytest.raises(errors.InvalidArgument, match=what):
            await process.sessions.fork(opened.row.id, owner="", segment=segment, step=step)


async def test_what_is_at_hand_stays_within_its_budget(database, clock):
    process = Process(database, clock, budget=10_000)
    for _ in range(5):
        await process.show((await process.open()).row.id, BOX)
    assert 0 < process.cache.nbytes <= 10_000
    await process.sessions.close((await process.sessions.page("")).sessions[0].row.id)
    assert process.cache.nbytes >= 0


async def test_a_damaged_answer_is_an_error_that_says_what_to_do(process, database, clock):
    opened = await process.open()
    await process.show(opened.row.id, BOX)
    await database.write(lambda conn: conn.execute(update(steps).values(answer=b"no zstd")))
    with pytest.raises(errors.InternalError, match="undo the step"):
        await Process(database, clock).history.load(opened.row.id, 1)


async def test_a_change_elsewhere_in_the_session_keeps_what_is_at_hand(process):
    opened = await process.open()
    loaded = await process.show(opened.row.id, BOX)
    await process.sessions.update(opened.row.id, model="other", names=[])
    hot = process.cache.get(opened.row.id, 1)
    assert hot is not None
    assert (hot.revision, hot.state) == (2, replace(loaded, row=loaded.row).state)


def row_of(name: str) -> SessionRow:
    return SessionRow(name, "", "", "", revision=1, created=0.0, used=0.0, ended=None, expired=False)


def test_of_sessions_that_nobody_uses_nothing_is_kept_at_hand() -> None:
    moment = [0.0]
    hot = SegmentStateCache(2**20, idle=600, now=lambda: moment[0])
    for name in ("early", "late"):
        hot.put(row_of(name), previous_revision=0, segment=SegmentRow(1), state=SegmentState())
        moment[0] += 400
    held = hot.nbytes
    hot.get("early", 1)
    moment[0] += 300  # "early" was used 300 seconds ago, "late" 700
    hot.expire()
    assert hot.get("late", 1) is None
    assert hot.get("early", 1) is not None
    assert hot.nbytes == held / 2
    hot.drop("early")
    assert hot.nbytes == 0


def test_masks_that_were_brought_along_count_as_what_is_at_hand_and_once() -> None:
    mask = np.ones(GEOMETRY.size[::-1], np.bool_)
    brought = accumulate(None, read_prompts([InitialMask.of(mask)], geometry=GEOMETRY))
    clicked = accumulate(brought, read_prompts([Click((3, 4, 5))], geometry=GEOMETRY))
    one = mask.nbytes + SegmentState().nbytes
    hot = SegmentStateCache(2 * one)
    for name in ("a", "b", "c"):
        hot.put(row_of(name), previous_revision=0, segment=SegmentRow(1), state=SegmentState(prompts=brought))
    hot.put(row_of("c"), previous_revision=0, segment=SegmentRow(1), state=SegmentState(prompts=clicked))
    assert [hot.get(name, 1) is not None for name in ("a", "b", "c")] == [False, True, True]
    assert hot.nbytes == 2 * one


def test_what_networks_saw_is_kept_of_the_last_segments_alone() -> None:
    prepared = network_input(SIX, volume=noisy_volume(), spec=CLICKS_SPEC)
    hot = SegmentStateCache(40 * prepared.nbytes)  # a sixteenth of it: two of them
    for number, name in enumerate(("a", "b", "c")):
        hot.put(
            row_of(name),
            previous_revision=0,
            segment=SegmentRow(1),
            state=SegmentState(start_step=number, network_input=prepared),
        )
    states = [found.state for name in ("a", "b", "c") if (found := hot.get(name, 1))]
    assert [state.start_step for state in states] == [0, 1, 2]
    assert [state.network_input for state in states] == [None, prepared, prepared]
    assert hot.nbytes == sum(state.nbytes for state in states)
    for name in ("a", "b", "c"):
        hot.drop(name)
    assert hot.nbytes == 0
