"""The audit log: in the same transaction as the change, chained, and without gaps that nobody notices."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from sqlalchemy import Connection, delete, select, text, update

from gateway.core.access import NOBODY as STRANGER
from gateway.core.access import Action, AuditEntry, AuditNotes, Role
from gateway.storage import Database
from gateway.storage.audit_log import AuditLog, append_entries, entries_of, heads, remove_entries, verify
from gateway.storage.schema import audit, audit_heads
from gateway.storage.scopes import AllTenants, TenantScope
from sixpoint.errors import PermissionDenied, StorageUnavailable
from tests.gateway.core.sessions.session_process import BOX, DIGEST, Clock, SessionProcess, add_images
from tests.support.callers import caller

ADA, EVE = caller("ada", role=Role.ANNOTATOR), caller("eve", role=Role.ANNOTATOR)


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    made = Database(database_url)
    await made.start()
    await add_images(made)
    yield made
    await made.stop()


async def entries(database: Database, tenant: str = "default") -> list[dict[str, Any]]:
    return await database.read(lambda conn: list(entries_of(AllTenants(conn), tenant)))


async def fault(database: Database, tenant: str = "default") -> tuple[int, str] | None:
    found = await database.read(lambda conn: verify(AllTenants(conn), tenant))
    return (found.number, found.what) if found else None


async def add(database: Database, count: int, *, tenant: str = "default") -> None:
    for number in range(count):
        entry = AuditEntry(ADA, Action.READ_MASK, str(number))
        await AuditLog(database, now=lambda: 5.0).write(tenant, [(entry, 1)])


async def test_every_change_of_a_session_is_in_the_log(database: Database) -> None:
    process = SessionProcess(database, Clock(), audited=True)
    sessions = process.sessions
    opened = (await sessions.create(principal=ADA, digest=DIGEST, model="m", request_id="1")).row.id
    await sessions.create(principal=ADA, digest=DIGEST, model="m", request_id="1")
    loaded = await process.history.load(opened, 1, principal=ADA)
    await process.history.append(loaded, [BOX], process.state_after(loaded, BOX))
    loaded = await process.history.load(opened, 1, principal=ADA)
    await process.history.move_head(loaded, 0, loaded.state)
    await sessions.update(opened, principal=ADA, model=None, names=[(1, "liver")])
    forked = (await sessions.fork(opened, principal=EVE, segment=0, step=0)).row.id
    for refused in (
        sessions.update(opened, principal=EVE, model=None, names=[(1, "x")]),
        sessions.close(opened, principal=EVE),
    ):
        with pytest.raises(PermissionDenied, match="belongs to somebody else"):
            await refused
    for _ in range(2):
        await sessions.close(opened, principal=ADA)
    log = await entries(database)
    assert [(each["subject"], each["action"], each["object"], each["source"]) for each in log] == [
        ("ada", "open session", opened, ""),
        ("ada", "annotate", opened, ""),
        ("ada", "undo, redo or reset", opened, ""),
        ("ada", "change session", opened, ""),
        ("eve", "fork session", forked, opened),
        ("ada", "close session", opened, ""),
    ]
    assert {(each["role"], each["method"], each["outcome"], each["count"]) for each in log} == {
        ("annotator", "tokens", "OK", 1)
    }
    assert "liver" not in str(log), "names of segments may be anything"
    assert await fault(database) is None


async def test_a_change_that_fails_leaves_no_entry_and_without_the_log_there_is_none(database: Database) -> None:
    def fail(conn: Connection) -> None:
        append_entries(TenantScope(conn, "default"), [(AuditEntry(ADA, Action.ANNOTATE), 1)], now=1.0)
        raise PermissionDenied("no")

    with pytest.raises(PermissionDenied):
        await database.write(fail)
    await SessionProcess(database, Clock()).open()
    assert await entries(database) == []
    assert await fault(database) is None


async def test_each_tenant_has_a_chain_of_its_own(database: Database) -> None:
    await asyncio.gather(*(add(database, 5, tenant=tenant) for tenant in ("default", "north") for _ in range(2)))
    for tenant in ("default", "north"):
        log = await entries(database, tenant)
        assert [each["number"] for each in log] == list(range(1, 11))
        assert await fault(database, tenant) is None


@pytest.mark.parametrize(
    ("change", "number", "what"),
    [
        (update(audit).where(audit.c.number == 2).values(subject="eve"), 2, "not the one that was written"),
        (update(audit).where(audit.c.number == 2).values(time=6.0), 2, "not the one that was written"),
        (delete(audit).where(audit.c.number == 2), 2, "missing"),
        (delete(audit).where(audit.c.number == 4), 4, "missing"),
        (delete(audit).where(audit.c.number == 1), 1, "missing"),
        (delete(audit_heads), 1, "no head"),
        (update(audit_heads).values(number=3), 4, "after the head"),
    ],
    ids=["subject", "time", "in the middle", "the last", "the first", "head removed", "head changed"],
)
async def test_whoever_changes_the_log_is_noticed(database: Database, change: Any, number: int, what: str) -> None:
    await add(database, 4)
    assert await fault(database) is None
    await database.write(lambda conn: conn.execute(change))
    found = await fault(database)
    assert found is not None
    assert what in found[1]
    assert found[0] == number


async def test_old_entries_are_removed_from_the_beginning_and_the_rest_can_be_verified(database: Database) -> None:
    log = AuditLog(database, now=(clock := Clock()))
    for _ in range(4):
        clock.seconds += 10
        await log.write("default", [(AuditEntry(ADA, Action.READ_MASK, "s"), 3)])
    assert await log.remove(before=clock.seconds - 15) == 2
    assert [each["number"] for each in await entries(database)] == [3, 4]
    assert await fault(database) is None
    (head,) = await database.read(lambda conn: heads(AllTenants(conn)))
    assert (head.number, head.removed) == (4, 2)
    await database.write(lambda conn: conn.execute(delete(audit).where(audit.c.number == 3)))
    assert await fault(database) == (3, "the entry is missing")


async def test_notes_are_counted_and_wait_while_the_database_is_away(database: Database) -> None:
    class Away:
        def __init__(self) -> None:
            self.failures = 1

        async def write(self, tenant: str, entries: list[tuple[AuditEntry, int]]) -> None:
            if self.failures:
                self.failures -= 1
                raise StorageUnavailable("away")
            await AuditLog(database).write(tenant, entries)

    notes = AuditNotes(Away(), interval=0.01)
    for _ in range(3):
        notes.note(AuditEntry(ADA, Action.READ_MASK, "s"))
    notes.note(AuditEntry(STRANGER, Action.CALL, "GetMask", outcome="UNAUTHENTICATED"))
    await notes.flush()
    running = asyncio.create_task(notes.run())
    await asyncio.sleep(0)
    notes.note(AuditEntry(EVE, Action.READ_IMAGE, "i"))
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    log = [*await entries(database), *await entries(database, "")]
    assert [(each["subject"], each["count"], each["outcome"]) for each in log] == [
        ("ada", 3, "OK"),
        ("eve", 1, "OK"),
        ("", 1, "UNAUTHENTICATED"),
    ]


async def test_texts_longer_than_a_column_are_cut(database: Database) -> None:
    entry = AuditEntry(caller("a" * 200), Action.CALL, "x" * 500, outcome="NOT_FOUND")
    await AuditLog(database).write("default", [(entry, 1)])
    (row,) = await entries(database)
    assert len(row["object"]) == 100
    assert await fault(database) is None
    assert await database.read(lambda conn: conn.execute(select(audit.c.number)).scalar_one()) == 1


async def test_old_entries_are_removed_some_at_a_time(database: Database) -> None:
    await add(database, 5)
    await add(database, 2, tenant="north")

    def remove(conn: Connection) -> int:
        return remove_entries(AllTenants(conn), before=9.0, limit=2)

    assert [await database.write(remove) for _ in range(4)] == [4, 2, 1, 0]
    await add(database, 1)
    assert [each["number"] for each in await entries(database)] == [6]
    assert [await fault(database, tenant) for tenant in ("default", "north")] == [None, None]


async def test_notes_being_written_when_the_gateway_stops_are_written_once(database: Database) -> None:
    class Slow:
        def __init__(self) -> None:
            self.begun, self.going_on = asyncio.Event(), asyncio.Event()

        async def write(self, tenant: str, entries: list[tuple[AuditEntry, int]]) -> None:
            self.begun.set()
            await self.going_on.wait()
            await AuditLog(database).write(tenant, entries)

    slow = Slow()
    notes = AuditNotes(slow, interval=0.001)
    for tenant in ("default", "north"):
        notes.note(AuditEntry(caller("ada", tenant=tenant), Action.READ_MASK, "s"))
    running = asyncio.create_task(notes.run())
    await slow.begun.wait()
    running.cancel()
    await asyncio.sleep(0)
    slow.going_on.set()
    await asyncio.gather(running, return_exceptions=True)
    for tenant in ("default", "north"):
        assert [each["count"] for each in await entries(database, tenant)] == [1]


async def test_a_tenant_whose_log_cannot_be_written_keeps_no_other_waiting(
    database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    class Broken:
        async def write(self, tenant: str, entries: list[tuple[AuditEntry, int]]) -> None:
            if tenant == "default":
                raise RuntimeError("a bug")
            await AuditLog(database).write(tenant, entries)

    notes = AuditNotes(Broken(), interval=0.001)
    for tenant in ("default", "north"):
        notes.note(AuditEntry(caller("ada", tenant=tenant), Action.READ_MASK, "s"))
    running = asyncio.create_task(notes.run())
    async with asyncio.timeout(10):
        while not await entries(database, "north"):
            await asyncio.sleep(0.001)
    assert not running.done()
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    (lost,) = [record for record in caplog.records if record.levelname == "ERROR"]
    assert "were lost" in lost.message
    assert getattr(lost, "entries", 0) == 1


async def test_a_list_that_was_not_read_is_not_noted(database: Database) -> None:
    noted: list[AuditEntry] = []

    class Notes:
        def note(self, entry: AuditEntry) -> None:
            noted.append(entry)

    process = SessionProcess(database, Clock(), auditor=Notes())
    await database.write(lambda conn: conn.execute(text("ALTER TABLE sessions RENAME TO away")))
    with pytest.raises(Exception, match=r"away|busy|sessions"):
        await process.sessions.page(ADA)
    assert noted == []
    await database.write(lambda conn: conn.execute(text("ALTER TABLE away RENAME TO sessions")))
    await process.sessions.page(ADA)
    assert [entry.action for entry in noted] == [Action.LIST_SESSIONS]
