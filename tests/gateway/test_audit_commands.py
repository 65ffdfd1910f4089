"""gateway audit verify, head, export."""

from __future__ import annotations

import asyncio
import itertools
import json
from pathlib import Path

import pytest
from sqlalchemy import Connection, Executable, delete
from typer.testing import CliRunner, Result

from gateway.cli import app
from gateway.core.access import Action, AuditEntry
from gateway.storage import Database
from gateway.storage.audit_log import AuditLog
from gateway.storage.schema import audit, audit_heads
from sixpoint.errors import FailedPrecondition, InvalidArgument
from tests.support.callers import caller


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A state folder with a log of two tenants."""
    monkeypatch.setenv("SIXPOINT_STATE_FOLDER", str(tmp_path))
    write(tmp_path, "default", 3)
    write(tmp_path, "north", 1)
    return tmp_path


def write(folder: Path, tenant: str, count: int) -> None:
    async def run() -> None:
        database = Database(f"sqlite:///{folder}/sixpoint.db")
        await database.start()
        days = itertools.count(1)
        log = AuditLog(database, now=lambda: 86400.0 * next(days))
        for number in range(count):
            entry = AuditEntry(caller("ada", tenant=tenant), Action.READ_MASK, f"s{number}")
            await log.write(tenant, [(entry, 1)])
        await database.stop()

    asyncio.run(run())


def change(folder: Path, *statements: Executable) -> None:
    def work(conn: Connection) -> None:
        for statement in statements:
            conn.execute(statement)

    async def run() -> None:
        database = Database(f"sqlite:///{folder}/sixpoint.db")
        await database.write(work)
        await database.stop()

    asyncio.run(run())


def run(*arguments: str) -> Result:
    result = CliRunner().invoke(app, ["audit", *arguments])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def test_a_log_that_nobody_changed_is_verified(folder: Path) -> None:
    assert run("verify").stdout.splitlines() == ["tenant 'default': entries 1 to 3", "tenant 'north': entries 1 to 1"]
    logs = json.loads(run("verify", "--tenant", "north", "--json").stdout)
    assert logs == {"logs": [{"tenant": "north", "entries": 1}], "faults": []}


def test_a_missing_entry_is_an_error_that_names_it(folder: Path) -> None:
    change(folder, delete(audit).where(audit.c.tenant == "default", audit.c.number == 2))
    with pytest.raises(FailedPrecondition, match="not the one that was written"):
        run("verify")
    result = CliRunner().invoke(app, ["audit", "verify"])
    assert "tenant 'default', entry 2: the entry is missing" in result.stdout


def test_a_log_that_was_written_anew_does_not_lead_to_a_head_that_was_kept(folder: Path) -> None:
    heads = folder / "heads.json"
    heads.write_text(run("head", "--json").stdout)
    assert "entry 3" in run("head", "--tenant", "default").stdout
    write(folder, "default", 1)
    assert run("verify", "--head", str(heads)).exit_code == 0, "a log may go on"
    change(folder, delete(audit), delete(audit_heads))
    write(folder, "default", 5)
    assert run("verify").exit_code == 0
    with pytest.raises(FailedPrecondition):
        run("verify", "--head", str(heads))
    heads.write_text("[]]")
    with pytest.raises(InvalidArgument, match="no output of"):
        run("verify", "--head", str(heads))


def test_entries_are_exported_as_json_lines(folder: Path) -> None:
    lines = [json.loads(line) for line in run("export").stdout.splitlines()]
    assert [(line["tenant"], line["number"], line["object"]) for line in lines] == [
        ("default", 1, "s0"),
        ("default", 2, "s1"),
        ("default", 3, "s2"),
        ("north", 1, "s0"),
    ]
    assert lines[0]["utc"] == "1970-01-02T00:00:00+00:00"
    assert len(lines[0]["hash"]) == 64
    assert len(run("export", "--tenant", "default", "--since", "1970-01-03").stdout.splitlines()) == 2


def test_a_log_that_is_not_there_is_not_called_whole(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for command in ("verify", "head", "export"):
        with pytest.raises(InvalidArgument, match="no log of tenant 'nroth'; there are: 'default', 'north'"):
            run(command, "--tenant", "nroth")
    monkeypatch.setenv("SIXPOINT_STATE_FOLDER", str(folder / "other"))
    with pytest.raises(FailedPrecondition, match="no audit log of this version"):
        run("verify")
    assert not (folder / "other").exists()


def test_an_empty_log_is_said_to_be_empty(folder: Path) -> None:
    change(folder, delete(audit), delete(audit_heads))
    for command in ("verify", "head", "export"):
        result = run(command)
        assert (result.exit_code, result.stdout) == (0, "")
        assert "the audit log has no entry" in result.stderr
    with pytest.raises(InvalidArgument, match="no log of tenant 'north'; there are: none"):
        run("verify", "--tenant", "north")
