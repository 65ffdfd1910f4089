"""What belongs to one tenant is nothing to another, in every statement."""

from __future__ import annotations

import asyncio
import inspect
import re
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import Connection

from gateway.core.images import ImageRecord
from gateway.core.sessions import ModelUse
from gateway.storage import Database
from gateway.storage.image_records import SqlImageWriter
from gateway.storage.scopes import TenantScope
from gateway.storage.sessions.request_ids import stored_request_id
from gateway.storage.sessions.session_changes import SqlSessionWriter
from tests.gateway.core.sessions.session_process import BOX, DIGEST, GEOMETRY, Clock, SessionProcess, add_images
from tests.gateway.storage.tenant_rows import TABLES, rows, statements, unscoped
from tests.support.callers import NOBODY, caller

# Numbers over all tenants, for the gateway's own limits.
DATASET_TABLES = {
    "datasets",
    "dataset_images",
    "annotations",
    "annotation_masks",
    "reviews",
    "assignments",
    "image_scores",
    "learning_rules",
    "learning_decisions",
}
JOB_TABLES = {"jobs", "job_lines"}
SESSION_TABLES = TABLES - DATASET_TABLES - JOB_TABLES
OF_ALL = {"count_open_of_all", "byte_total_of_all"}


def image_of(tenant: str) -> ImageRecord:
    return ImageRecord(tenant, DIGEST, GEOMETRY, 3, 1, "", created=0.0, used=0.0)


SESSION_CALLS: dict[str, Callable[[SqlSessionWriter, str], Any]] = {
    "session": lambda records, id_: records.session(id_),
    "session_by_request": lambda records, _: records.session_by_request("", "open"),
    "segments": lambda records, id_: records.segments(id_),
    "segments_of": lambda records, id_: records.segments_of([id_])[id_],
    "has_segment": lambda records, id_: records.has_segment(id_, 1),
    "steps": lambda records, id_: records.steps(id_),
    "step_page": lambda records, id_: records.step_page(id_, segment=None, after=(0, 0), limit=9, max_bytes=999),
    "turn": lambda records, id_: records.turn(id_),
    "request": lambda records, id_: records.request(id_, "r"),
    "count_open": lambda records, _: records.count_open() or records.count_open(""),
    "list_open": lambda records, _: records.list_open("", after=None, limit=9),
    "list_using": lambda records, _: records.list_using(ModelUse("m", "3", assigned=lambda _: True)),
    "lock_session": lambda records, id_: records.lock_session(id_),
    "touch_session": lambda records, id_: records.touch_session(id_, now=5.0),
    "advance": lambda records, id_: records.advance(id_, revision=1, now=5.0, model="other"),
    "end_session": lambda records, id_: records.end_session(id_, now=5.0),
    "move_head": lambda records, id_: records.move_head(id_, 1, 0),
    "touch_image": lambda records, _: records.touch_image(DIGEST, now=5.0),
}
IMAGE_CALLS: dict[str, Callable[[SqlImageWriter], Any]] = {
    "image": lambda records: records.image(DIGEST),
    "byte_total": lambda records: records.byte_total(""),
    "lock_image": lambda records: records.lock_image(DIGEST),
    "touch_image": lambda records: records.touch_image(DIGEST, now=5.0),
    "delete_image": lambda records: records.delete_image(image_of("default")),
    "delete_if_unused": lambda records: records.delete_if_unused(DIGEST, before=1e12),
}
# They act on rows of the tenant itself; the second test below runs them.
NEED_A_ROW = {
    "audit",
    "encode_step",
    "image_geometry",
    "insert_session",
    "insert_segment",
    "name_segments",
    "append_step",
    "drop_redoable",
    "share_steps",
    "insert_requests",
    "set_turn",
    "add_image",
}


@pytest.mark.parametrize(
    ("statement", "tables"),
    [
        ("SELECT steps.number FROM steps WHERE steps.number = 1", {"steps"}),
        (
            "SELECT a.number FROM steps AS a JOIN segments ON a.x = segments.head WHERE a.tenant = 1",
            {"segments"},
        ),
        ("UPDATE sessions SET used = 1 WHERE sessions.id = 1", {"sessions"}),
        ("DELETE FROM steps WHERE steps.tenant = 1", set()),
        ("INSERT INTO turns (holder, tenant) VALUES (1, 2)", set()),
        ("INSERT INTO turns (holder) VALUES (1)", {"turns"}),
    ],
)
def test_a_statement_that_looks_at_no_tenant_is_noticed(statement: str, tables: set[str]) -> None:
    assert unscoped(statement) == tables


@pytest.fixture
async def process(database_url: str) -> Any:
    database = Database(database_url)
    await database.start()
    await add_images(database)
    yield SessionProcess(database, Clock(), audited=True)
    await database.stop()


async def test_another_tenant_reads_and_changes_nothing(process: SessionProcess) -> None:
    database = process.database
    opened = (await process.open(request_id="open")).row.id
    await process.annotate(opened, BOX, request_id="r")
    await process.history.turns.claim(opened, tenant="default")
    before = await database.read(lambda conn: rows(conn, "default"))
    assert all(before[name] for name in SESSION_TABLES - {"shared_steps"})

    def run(conn: Connection) -> dict[str, Any]:
        scope = TenantScope(conn, "other")
        sessions, images = SqlSessionWriter(scope), SqlImageWriter(scope)
        answers = {name: call(sessions, opened) for name, call in SESSION_CALLS.items()}
        return answers | {f"image {name}": call(images) for name, call in IMAGE_CALLS.items()}

    with statements(database) as seen:
        answers = await database.write(run)
    assert {name: answer for name, answer in answers.items() if answer} == {}
    assert await database.read(lambda conn: rows(conn, "default")) == before
    assert {statement: unscoped(statement) for statement in seen if unscoped(statement)} == {}
    assert len(seen) > len(SESSION_CALLS)


def test_every_method_is_tried() -> None:
    methods = {
        name
        for kind in (SqlSessionWriter, SqlImageWriter)
        for name, _ in inspect.getmembers(kind, inspect.isfunction)
        if not name.startswith("_")
    }
    assert methods == {*SESSION_CALLS, *IMAGE_CALLS, *NEED_A_ROW, *OF_ALL}


async def test_every_statement_of_a_tenants_own_work_looks_at_the_tenant(process: SessionProcess) -> None:
    database, other = process.database, caller("ada", tenant="other")
    await database.write(lambda conn: SqlImageWriter(TenantScope(conn, "other")).add_image(image_of("other")))
    before = await database.read(lambda conn: rows(conn, "default"))
    with statements(database) as seen:
        opened = await process.sessions.create(principal=other, digest=DIGEST, model="m", request_id="open")
        again = await process.sessions.create(principal=other, digest=DIGEST, model="m", request_id="open")
        assert again.row.id == opened.row.id
        await process.sessions.update(opened.row.id, principal=other, model=None, names=[(1, "liver")], request_id="u")
        for number in range(3):
            loaded = await process.history.load(opened.row.id, 1, principal=other)
            state = process.state_after(loaded, BOX)
            await process.history.append(loaded, [BOX], state, request_ids=(str(number),))
        forked = await process.sessions.fork(opened.row.id, principal=other, segment=1, step=2)
        loaded = await process.history.load(opened.row.id, 1, principal=other)
        await process.history.move_head(loaded, 1, await process.history.state_at(loaded.row, 1, 1))
        loaded = await process.history.load(opened.row.id, 1, principal=other)
        await process.history.append(loaded, [BOX], process.state_after(loaded, BOX))
        await process.history.turns.claim(opened.row.id, tenant="other")
        assert len((await process.sessions.page(other)).sessions) == 2
        assert len((await process.sessions.steps(forked.row.id, principal=other)).steps) == 2
    assert await database.read(lambda conn: rows(conn, "default")) == before
    # Limits of the gateway are for all tenants together.
    of_all = re.compile(
        r"sum\(sessions.log_bytes\)|SELECT count\(\*\) AS count_1\s+FROM sessions\s+WHERE sessions.ended IS NULL$"
    )
    own = [statement for statement in seen if not of_all.search(statement)]
    assert {statement: unscoped(statement) for statement in own if unscoped(statement)} == {}


async def test_the_same_owner_and_request_id_of_two_tenants_are_two(process: SessionProcess) -> None:
    await process.database.write(lambda conn: SqlImageWriter(TenantScope(conn, "other")).add_image(image_of("other")))
    first = await process.sessions.create(principal=caller("ada"), digest=DIGEST, model="m", request_id="1")
    there = caller("ada", tenant="other")
    second = await process.sessions.create(principal=there, digest=DIGEST, model="m", request_id="1")
    assert first.row.id != second.row.id
    assert (await process.sessions.page(there)).total_all_owners == 1
    assert stored_request_id("1", tenant="default") == "1"
    assert len(stored_request_id("1" * 64, tenant="other")) == 64
    # Whoever makes up the stored form of another tenant's id is not told whether it is taken.
    made_up = stored_request_id("1", tenant="other")
    third = await process.sessions.create(principal=caller("ada"), digest=DIGEST, model="m", request_id=made_up)
    assert third.row.id not in (first.row.id, second.row.id)
    again = await process.sessions.create(principal=caller("ada"), digest=DIGEST, model="m", request_id=made_up)
    assert again.row.id == third.row.id


async def test_calls_on_another_tenants_session_neither_wait_for_it_nor_drop_it_from_memory(
    process: SessionProcess,
) -> None:
    session_id = (await process.open()).row.id
    await process.annotate(session_id, BOX)
    stranger = caller("eve", tenant="south")
    async with process.history.lock(session_id, NOBODY), asyncio.timeout(10):
        await process.sessions.close(session_id, principal=stranger)
    assert process.cache.get(session_id, 1) is not None
