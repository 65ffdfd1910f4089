"""``gateway audit``: check and export the audit log."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Annotated, TypeVar

import typer

from gateway.read_settings import read_settings
from gateway.storage import Database
from gateway.storage.audit_log import AuditHead, entries_of, heads, tenants, verify
from gateway.storage.inspection import inspect_database
from gateway.storage.scopes import AllTenants
from sixpoint.errors import FailedPrecondition, InvalidArgument

__all__ = ["app"]

_Result = TypeVar("_Result")

app = typer.Typer(no_args_is_help=True, help="The audit log: who did what, and with what outcome.")

_EMPTY = (
    "note: the audit log has no entry. It is written where SIXPOINT_AUTH is not none (SIXPOINT_AUDIT); if it had "
    "entries before, somebody removed them"
)
_TenantOption = Annotated[
    str | None, typer.Option("--tenant", help="Tenant whose log it is; by default all. Empty for refused strangers.")
]
_JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")]


@app.command("verify", epilog="Example: gateway audit verify --head heads.json")
def check(
    tenant: _TenantOption = None,
    head: Annotated[
        typer.FileText | None, typer.Option("--head", help="Earlier output of `gateway audit head --json`.")
    ] = None,
    as_json: _JsonOption = False,
) -> None:
    """Check that no entry was changed or removed; with --head, neither since then by whoever wrote a new log."""
    known = _read_heads(head) if head else []

    def work(scope: AllTenants) -> tuple[list[AuditHead], list[str]]:
        ends = [each for each in heads(scope) if tenant in (None, each.tenant)]
        names = [each for each in tenants(scope) if tenant in (None, each)]
        faults = [fault for each in names if (fault := verify(scope, each))]
        found = [f"tenant {fault.tenant!r}, entry {fault.number}: {fault.what}" for fault in faults]
        return ends, found + [line for each in known if tenant in (None, each.tenant) for line in _differs(scope, each)]

    # A log that is gone altogether is a fault where --head names it.
    ends, faults = _run(work, tenant=None if known else tenant)
    if as_json:
        logs = [{"tenant": each.tenant, "entries": each.number - each.removed} for each in ends]
        typer.echo(json.dumps({"logs": logs, "faults": faults}))
    else:
        for each in ends:
            typer.echo(f"tenant {each.tenant!r}: entries {each.removed + 1} to {each.number}")
        for line in faults:
            typer.echo(line)
    if faults:
        raise FailedPrecondition(
            "the audit log is not the one that was written: restore the database, and find out who may write to it"
        )


@app.command("head", epilog="Example: gateway audit head --json > heads.json")
def head(tenant: _TenantOption = None, as_json: _JsonOption = False) -> None:
    """Print where the log of each tenant ends. Keep it elsewhere: no later log can be made up that leads there."""
    ends = [each for each in _run(heads, tenant=tenant) if tenant in (None, each.tenant)]
    if as_json:
        typer.echo(json.dumps([vars(each) for each in ends], indent=2))
        return
    for each in ends:
        typer.echo(f"tenant {each.tenant!r}: entry {each.number}, {each.hash}")


@app.command("export", epilog="Example: gateway audit export --since 2027-01-01 > audit.jsonl")
def export(
    tenant: _TenantOption = None,
    since: Annotated[
        datetime | None, typer.Option(formats=["%Y-%m-%d"], help="First day, in UTC; by default the first there is.")
    ] = None,
) -> None:
    """Print the entries as JSON lines, each with its hash."""
    start = since.replace(tzinfo=UTC).timestamp() if since else 0.0

    def work(scope: AllTenants) -> None:
        for each in tenants(scope):
            if tenant in (None, each):
                for entry in entries_of(scope, each):
                    if entry["time"] >= start:
                        moment = datetime.fromtimestamp(entry["time"], UTC).isoformat()
                        typer.echo(json.dumps({**entry, "utc": moment}))

    _run(work, tenant=tenant)


def _run(work: Callable[[AllTenants], _Result], *, tenant: str | None) -> _Result:
    url = read_settings().database_url.get_secret_value()
    # To open a file of SQLite makes it.
    state = inspect_database(url)
    if state.revision != state.known[-1]:
        raise FailedPrecondition(
            "the database has no audit log of this version: name that of a gateway (SIXPOINT_DATABASE_URL), which is "
            "migrated when a gateway of this version starts"
        )

    def checked(scope: AllTenants) -> _Result:
        names = tenants(scope)
        if tenant is not None and tenant not in names:
            there = ", ".join(map(repr, names)) or "none"
            raise InvalidArgument(f"there is no log of tenant {tenant!r}; there are: {there}")
        if not names:
            typer.echo(_EMPTY, err=True)
        return work(scope)

    async def run() -> _Result:
        database = Database(url)
        try:
            return await database.read(lambda conn: checked(AllTenants(conn)))
        finally:
            await database.stop()

    return asyncio.run(run())


def _read_heads(file: typer.FileText) -> list[AuditHead]:
    try:
        return [AuditHead(**each) for each in json.load(file)]
    except (ValueError, TypeError):
        raise InvalidArgument("--head is no output of `gateway audit head --json`") from None


def _differs(scope: AllTenants, earlier: AuditHead) -> list[str]:
    """What is wrong with a log that had another head before."""
    if not earlier.number:
        return []
    entry = next(entries_of(scope, earlier.tenant, after=earlier.number - 1), None)
    if entry is not None and entry["number"] == earlier.number and entry["hash"] == earlier.hash:
        return []
    removed = next((each.removed for each in heads(scope) if each.tenant == earlier.tenant), 0)
    if removed >= earlier.number:
        # Removed for its age.
        return []
    return [f"tenant {earlier.tenant!r}, entry {earlier.number}: it is not the one that --head names"]
