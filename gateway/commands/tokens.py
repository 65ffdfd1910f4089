"""``gateway token``: make, list and revoke the tokens of the file of tokens."""

from __future__ import annotations

import enum
import json
import re
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Annotated

import typer

from gateway.authentication.token_editing import (
    NewEntry,
    add_entry,
    new_token,
    remove_entry,
    stored_entries,
    token_digest,
)
from gateway.authentication.token_file import Entry, EntryKind, end_of
from gateway.core.access import DEFAULT_TENANT, Role
from gateway.read_settings import read_settings
from sixpoint.errors import InvalidArgument

__all__ = ["app"]

_DAYS = re.compile(r"(\d{1,5})d")

app = typer.Typer(no_args_is_help=True, help="Tokens of callers, and the certificates that are admitted.")


class _Role(enum.StrEnum):
    VIEWER = "viewer"
    ANNOTATOR = "annotator"
    ENGINEER = "engineer"
    ADMIN = "admin"


_NameArgument = Annotated[str, typer.Argument(help="Name of the entry, such as a person or a machine.")]
_FileOption = Annotated[
    Path | None, typer.Option("--file", help="File of tokens; by default that of SIXPOINT_TOKENS_FILE.")
]
_JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command("new", epilog="Example: gateway token new alice --role annotator --expires 90d")
def new(
    name: _NameArgument,
    role: Annotated[_Role, typer.Option(help="What the caller may do.")] = _Role.ANNOTATOR,
    tenant: Annotated[str, typer.Option(help="Tenant of the caller.")] = DEFAULT_TENANT,
    subject: Annotated[str, typer.Option(help="Name of the caller, the owner of sessions; by default NAME.")] = "",
    expires: Annotated[str, typer.Option(help="Days such as 90d, a last day such as 2027-03-01, or never.")] = "90d",
    path: Annotated[
        bool, typer.Option("--path", help="For the path of URLs (/t/TOKEN/...), for viewers that cannot send headers.")
    ] = False,
    certificate: Annotated[str, typer.Option(help="Name in a client's certificate to admit; no token is made.")] = "",
    file: _FileOption = None,
    as_json: _JsonOption = False,
) -> None:
    """Make a token, and print it once: the file has only its SHA-256."""
    if path and certificate:
        raise InvalidArgument("--path and --certificate exclude each other")
    target = _file(file)
    kind = EntryKind.CERTIFICATE if certificate else EntryKind.PATH if path else EntryKind.HEADER
    token = "" if certificate else new_token()
    end = _expiry(expires)
    entry = NewEntry(name, kind, subject or name, tenant, Role[role.name], end)
    add_entry(target, entry, key=certificate or token_digest(token))
    until = f"until {_last_day(end)}" if end else "for ever"
    if as_json:
        secret = {"certificate": certificate} if certificate else {"token": token}
        typer.echo(json.dumps({"name": name, **secret, "expires": end.isoformat() if end else None}))
    elif certificate:
        typer.echo(f"{name}: clients with this certificate are admitted {until}")
    else:
        typer.echo(token)
        # Not with the token: what is captured by $(...) is the token alone.
        typer.echo(f"{name}: valid {until}; this token is not shown again", err=True)


@app.command("list", epilog="Example: gateway token list --json")
def list_entries(file: _FileOption = None, as_json: _JsonOption = False) -> None:
    """List the entries; the tokens themselves are stored nowhere."""
    entries = stored_entries(_file(file)).values()
    if as_json:
        typer.echo(json.dumps([_described(entry) for entry in entries], indent=2))
        return
    for entry in entries:
        end = _end(entry)
        state = "expired" if end and end <= datetime.now(UTC) else "until"
        until = f"{state} {_last_day(end)}" if end else "for ever"
        roles = ", ".join(role.name.lower() for role in sorted(entry.roles))
        typer.echo(f"{entry.name}: {entry.kind}, {entry.subject} of tenant {entry.tenant}, {roles}, {until}")


@app.command("revoke", epilog="Example: gateway token revoke alice")
def revoke(name: _NameArgument, file: _FileOption = None) -> None:
    """Remove an entry: gateways refuse its token or certificate from the next second on."""
    remove_entry(_file(file), name)
    typer.echo(f"{name} is revoked")


def _described(entry: Entry) -> dict[str, object]:
    expires = _end(entry)
    return {
        "name": entry.name,
        "kind": entry.kind.value,
        "certificate": entry.key if entry.kind is EntryKind.CERTIFICATE else None,
        "subject": entry.subject,
        "tenant": entry.tenant,
        "roles": [role.name.lower() for role in sorted(entry.roles)],
        "expires": expires.isoformat() if expires else None,
        "expired": bool(expires and expires <= datetime.now(UTC)),
    }


def _last_day(end: datetime) -> str:
    return f"{end - timedelta(seconds=1):%Y-%m-%d}"


def _end(entry: Entry) -> datetime | None:
    return None if entry.expires is None else datetime.fromtimestamp(entry.expires, UTC)


def _file(file: Path | None) -> Path:
    return file or read_settings().tokens_file


def _expiry(text: str) -> datetime | None:
    """Return when a new token expires; None for never."""
    if text == "never":
        return None
    try:
        days = _DAYS.fullmatch(text)
        end = datetime.now(UTC) + timedelta(days=int(days[1])) if days else end_of(date.fromisoformat(text))
    except (ValueError, OverflowError):
        raise InvalidArgument(
            "--expires is a number of days such as 90d, a last day such as 2027-03-01, or never"
        ) from None
    if end <= datetime.now(UTC):
        raise InvalidArgument("--expires is in the past; name a later day")
    return end.replace(microsecond=0)
