"""The file of tokens: who may call, as SHA-256 digests of tokens and as names in certificates.

It is TOML, one table for each entry, made to be read by people::

    [alice]
    kind = "header"
    sha256 = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
    tenant = "clinic-a"
    roles = ["annotator"]
    expires = 2027-03-01T00:00:00Z

``subject`` (by default the entry's name), ``tenant`` (by default ``default``) and ``expires`` may be left out. An entry
of kind ``certificate`` has ``certificate`` in place of ``sha256``: a name in a client's certificate.
"""

from __future__ import annotations

import asyncio
import enum
import logging
import re
import time
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from gateway.authentication.names import check_subject, known_roles, role_names
from gateway.core.access import DEFAULT_TENANT, Role, check_tenant
from sixpoint.errors import InvalidArgument
from sixpoint.io.file_stamps import FileStamp, file_stamp

__all__ = ["Entry", "EntryKind", "TokenFile", "end_of", "header_line", "read_entries"]

_log = logging.getLogger(__name__)

_MAX_BYTES = 8 * 2**20
_MISS_SECONDS = 0.1
_DIGEST = re.compile(r"[0-9a-f]{64}")
_HEADER = re.compile(r'\s*\[\s*(?:"([^"]*)"|([A-Za-z0-9_-]+))\s*\]\s*(?:#.*)?')
_LINE = re.compile(r"\(at line (\d+)")
_FIELDS = {"kind", "sha256", "certificate", "subject", "tenant", "roles", "expires"}


class EntryKind(enum.StrEnum):
    """How an entry's credentials reach the gateway: in a header, in the path of a URL, or in a certificate."""

    HEADER = "header"
    PATH = "path"
    CERTIFICATE = "certificate"


@dataclass(frozen=True)
class Entry:
    """One entry of the file.

    Attributes:
        name: Name of the entry.
        kind: How the credentials reach the gateway.
        key: SHA-256 of the token in hexadecimal digits, or the name in the certificate.
        subject: Name of who calls with it.
        tenant: Name of the tenant.
        roles: Roles of who calls with it.
        expires: Time when it ends, seconds since 1970; None if it does not end.
    """

    name: str
    kind: EntryKind
    key: str
    subject: str
    tenant: str
    roles: frozenset[Role]
    expires: float | None


class TokenFile:
    """The entries of a file, read again when it changed.

    A file that is invalid, half written, empty or gone leaves the last good entries in force; the log says so.

    Args:
        path: Path of the file.
        interval: Seconds between two looks at whether the file changed; for an entry that is not in it, at most 0.1.

    Raises:
        InvalidArgument: The file cannot be used.
    """

    def __init__(self, path: Path, *, interval: float = 1.0) -> None:
        self._path = path
        self._interval = interval
        self._stamp = self._stat()
        self._entries = _by_key(self._read())
        # None while the file is gone.
        self._refused: FileStamp | tuple[()] | None = ()
        self._checked = time.monotonic()
        self._refreshing: asyncio.Task[None] | None = None

    async def find(self, kind: EntryKind, key: str) -> Entry | None:
        """Return the entry of a token's digest or of a name in a certificate; None if there is none.

        Looking a token up by its digest takes a time that says nothing of the digests in the file: nobody can choose a
        token for the first digits of its SHA-256.
        """
        # What is not in it may be new; many who guess must not make many looks.
        interval = self._interval if (kind, key) in self._entries else min(self._interval, _MISS_SECONDS)
        # Others take the entries that there are meanwhile.
        if self._refreshing is None and time.monotonic() - self._checked >= interval:
            # A file on the network may keep one thread waiting, but not the event loop, and no second thread.
            self._refreshing = asyncio.create_task(asyncio.to_thread(self._refresh))
            self._refreshing.add_done_callback(self._end_refresh)
            await asyncio.shield(self._refreshing)
        return self._entries.get((kind, key))

    def _end_refresh(self, _: asyncio.Task[None]) -> None:
        self._refreshing, self._checked = None, time.monotonic()

    def _refresh(self) -> None:
        stamp: FileStamp | None = None
        try:
            stamp = self._stat()
            if stamp in (self._stamp, self._refused):
                return
            entries = _by_key(self._read())
        except InvalidArgument as error:
            if stamp != self._refused:
                _log.warning("the changed file of tokens is not used, the earlier entries stay: %s", error.message)
            self._refused = stamp
            return
        self._entries = entries
        # A file that changed in between gives another stamp next time.
        self._stamp, self._refused = stamp, ()
        _log.info("file of tokens read again", extra={"entries": len(entries)})

    def _stat(self) -> FileStamp:
        try:
            return file_stamp(self._path)
        except OSError as error:
            raise _unreadable(error) from error

    def _read(self) -> Mapping[str, Entry]:
        try:
            with self._path.open("rb") as file:
                content = file.read(_MAX_BYTES + 1)
        except OSError as error:
            raise _unreadable(error) from error
        if not content.strip():
            # An editor that is writing has emptied it first. A file without entries has a comment.
            raise InvalidArgument("SIXPOINT_TOKENS_FILE: the file is empty; make a token with gateway token new")
        return read_entries(content)


def read_entries(content: bytes) -> dict[str, Entry]:
    """Read the content of a file: its entries by name.

    Raises:
        InvalidArgument: It is invalid; the message names the line, and repeats nothing of it.
    """
    if len(content) > _MAX_BYTES:
        raise InvalidArgument(f"SIXPOINT_TOKENS_FILE: the file has more than {_MAX_BYTES >> 20} MiB")
    try:
        text = content.decode()
        tables = tomllib.loads(text)
    except UnicodeDecodeError:
        raise InvalidArgument("SIXPOINT_TOKENS_FILE: the file is not UTF-8") from None
    except (ValueError, RecursionError) as error:
        # The message itself may repeat what is in the file.
        line = _LINE.search(str(error))
        place = f"line {line[1]}" if line else "the last line"
        raise InvalidArgument(f"SIXPOINT_TOKENS_FILE: {place} is no TOML; correct or restore the file") from None
    lines = text.splitlines()
    entries: dict[str, Entry] = {}
    keys: dict[tuple[EntryKind, str], str] = {}
    for name, table in tables.items():
        try:
            entry = _entry(name, table)
            if (entry.kind, entry.key) in keys:
                raise InvalidArgument("an earlier entry has the same sha256 or certificate")
        except InvalidArgument as error:
            line_number = header_line(lines, name)
            place = "an entry" if line_number is None else f"the entry in line {line_number + 1}"
            raise InvalidArgument(f"SIXPOINT_TOKENS_FILE: {place}: {error.message}") from None
        entries[name] = entry
        keys[entry.kind, entry.key] = name
    return entries


def header_line(lines: list[str], name: str | None) -> int | None:
    """Return the index of the line ``[name]``, or of any such line for None; None without one."""
    for number, line in enumerate(lines):
        match = _HEADER.fullmatch(line)
        if match and name in (None, match[1] or match[2]):
            return number
    return None


def end_of(day: date) -> datetime:
    """Return the end of a day: what expires on a day is valid until it is over, in UTC."""
    midnight = datetime(day.year, day.month, day.day, tzinfo=UTC)
    return midnight if day == date.max else midnight + timedelta(days=1)


def _by_key(entries: Mapping[str, Entry]) -> dict[tuple[EntryKind, str], Entry]:
    return {(entry.kind, entry.key): entry for entry in entries.values()}


def _entry(name: str, table: object) -> Entry:
    if not isinstance(table, dict):
        raise InvalidArgument("an entry is a table: a line [name], then its fields")
    if not table.keys() <= _FIELDS:
        raise InvalidArgument(f"an entry has only the fields {', '.join(sorted(_FIELDS))}")
    try:
        kind = EntryKind(table.get("kind", EntryKind.HEADER))
    except ValueError:
        raise InvalidArgument(f"kind is {', '.join(EntryKind)}") from None
    roles = table.get("roles")
    if not isinstance(roles, list) or not all(isinstance(role, str) for role in roles):
        raise InvalidArgument('roles is a list, such as ["annotator"]')
    if len(known_roles(roles)) != len(set(roles)):
        raise InvalidArgument(f"roles has a role that does not exist; there are {role_names()}")
    return Entry(
        name=name,
        kind=kind,
        key=_key(kind, table),
        subject=check_subject(_text(table, "subject", name)),
        tenant=check_tenant(_text(table, "tenant", DEFAULT_TENANT)),
        roles=known_roles(roles),
        expires=_expiry(table.get("expires")),
    )


def _key(kind: EntryKind, table: Mapping[str, object]) -> str:
    field, other = ("certificate", "sha256") if kind is EntryKind.CERTIFICATE else ("sha256", "certificate")
    if other in table:
        raise InvalidArgument(f"an entry of kind {kind} has {field}, not {other}")
    key = _text(table, field, "")
    if not key.strip():
        raise InvalidArgument(f"an entry of kind {kind} needs {field}")
    if kind is not EntryKind.CERTIFICATE and not _DIGEST.fullmatch(key.lower()):
        raise InvalidArgument("sha256 has 64 hexadecimal digits")
    return key if kind is EntryKind.CERTIFICATE else key.lower()


def _text(table: Mapping[str, object], field: str, default: str) -> str:
    value = table.get(field, default)
    if not isinstance(value, str):
        raise InvalidArgument(f"{field} is a text in quotes")
    return value


def _expiry(value: object) -> float | None:
    if value is None:
        return None
    if isinstance(value, datetime):
        if value.tzinfo is None:
            raise InvalidArgument("expires needs a time zone: write 2027-03-01T00:00:00Z")
        return value.timestamp()
    if isinstance(value, date):
        return end_of(value).timestamp()
    raise InvalidArgument("expires is a day or a time without quotes, such as 2027-03-01T00:00:00Z")


def _unreadable(error: OSError) -> InvalidArgument:
    return InvalidArgument(
        f"SIXPOINT_TOKENS_FILE: the file cannot be read ({error.strerror or 'unknown reason'}); make a token with "
        "gateway token new, or name another file"
    )
