"""Change the file of tokens: add and remove entries, and leave everything else in it as it is."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import re
import secrets
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from gateway.authentication.names import check_subject
from gateway.authentication.token_file import Entry, EntryKind, header_line, read_entries
from gateway.core.access import Role, check_tenant
from sixpoint.errors import FailedPrecondition, InvalidArgument, NotFound
from sixpoint.io.atomic_files import temporary_path, write_file

__all__ = ["TOKEN_PREFIX", "NewEntry", "add_entry", "new_token", "remove_entry", "stored_entries", "token_digest"]

TOKEN_PREFIX = "sxp_"
"""What tokens begin with, so that scanners for secrets recognise them."""

_TOKEN_BYTES = 32
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,99}")
_BARE = re.compile(r"[A-Za-z0-9_-]+")
_PRIVATE = stat.S_IRUSR | stat.S_IWUSR
_HEADING = (
    "# Who may call the gateway; see docs/how-to/identity.md. The gateway reads this file again when it changes.\n"
)


@dataclass(frozen=True)
class NewEntry:
    """What a new entry says; see :class:`~gateway.authentication.token_file.Entry`."""

    name: str
    kind: EntryKind
    subject: str
    tenant: str
    role: Role
    expires: datetime | None


def new_token() -> str:
    """Return a new token: 32 random bytes, so that a plain SHA-256 of it cannot be guessed back."""
    return TOKEN_PREFIX + secrets.token_urlsafe(_TOKEN_BYTES)


def token_digest(token: str) -> str:
    """Return the SHA-256 of a token in hexadecimal digits."""
    return hashlib.sha256(token.encode()).hexdigest()


def stored_entries(path: Path) -> dict[str, Entry]:
    """Return the entries of a file by name; none without a file.

    Raises:
        InvalidArgument: The file is invalid.
    """
    return read_entries(_content(path))


def add_entry(path: Path, entry: NewEntry, *, key: str) -> None:
    """Add an entry; a file that does not exist is made, for this user alone.

    Args:
        path: Path of the file.
        entry: What it says.
        key: SHA-256 of its token, or the name in the certificate.

    Raises:
        FailedPrecondition: There is an entry of this name, or for this certificate.
        InvalidArgument: A name is not valid, the file is invalid, or it cannot be written.
    """
    if not _NAME.fullmatch(entry.name):
        raise InvalidArgument(
            "the name of an entry has 1 to 100 letters, digits, dots, hyphens, underscores and @, and begins with a "
            "letter or digit"
        )
    check_subject(entry.subject)
    check_tenant(entry.tenant)
    with _locked(path):
        content = _content(path)
        entries = read_entries(content)
        if entry.name in entries:
            raise FailedPrecondition(
                f"there is an entry {entry.name!r} already; choose another name, or revoke that one first: gateway "
                f"token revoke {entry.name}"
            )
        if any((other.kind, other.key) == (entry.kind, key) for other in entries.values()):
            raise FailedPrecondition("there is an entry for this certificate already; gateway token list shows it")
        text = content.decode() or _HEADING
        separator = "" if text.endswith("\n\n") else "\n" if text.endswith("\n") else "\n\n"
        _write(path, f"{text}{separator}{_as_toml(entry, key)}", others=entries, added=entry.name)


def remove_entry(path: Path, name: str) -> None:
    """Remove an entry.

    Raises:
        NotFound: There is no entry of this name.
        InvalidArgument: The file is invalid, or it cannot be written.
    """
    with _locked(path):
        content = _content(path)
        entries = read_entries(content)
        if name not in entries:
            raise NotFound("there is no entry of this name; gateway token list shows all names")
        del entries[name]
        _write(path, _without(content.decode(), name) or _HEADING, others=entries)


def _without(text: str, name: str) -> str:
    """Return a text without the table of a name; comments before the next table stay."""
    lines = text.splitlines(keepends=True)
    bare = [line.strip() for line in lines]
    begin = header_line(bare, name)
    if begin is None:
        return text
    following = header_line(bare[begin + 1 :], None)
    end = len(lines) if following is None else begin + 1 + following
    while end > begin + 1 and bare[end - 1].startswith("#"):
        end -= 1
    return "".join(lines[:begin] + lines[end:])


def _as_toml(entry: NewEntry, key: str) -> str:
    def text(value: str) -> str:
        # JSON's texts are TOML's, but for this one character.
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")

    field = "certificate" if entry.kind is EntryKind.CERTIFICATE else "sha256"
    lines = [
        f"[{entry.name if _BARE.fullmatch(entry.name) else text(entry.name)}]",
        f"kind = {text(entry.kind)}",
        f"{field} = {text(key)}",
        *([f"subject = {text(entry.subject)}"] if entry.subject != entry.name else []),
        f"tenant = {text(entry.tenant)}",
        f"roles = [{text(entry.role.name.lower())}]",
    ]
    if entry.expires:
        lines.append(f"expires = {entry.expires.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}")
    return "\n".join(lines) + "\n"


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return b""
    except OSError as error:
        raise InvalidArgument(f"{path} cannot be read: {error.strerror}; name another file with --file") from error


def _write(path: Path, text: str, *, others: Mapping[str, Entry], added: str | None = None) -> None:
    """Replace the file, if its new content has the other entries as they were, and the added one."""
    content = text.encode()
    try:
        written = read_entries(content)
        well = (added is None or written.pop(added, None) is not None) and written == others
    except InvalidArgument:
        well = False
    if not well:
        raise InvalidArgument(f"{path} is written in a way that this command cannot change; change it by hand")
    # A link stays one: the file behind it is replaced.
    target = path.resolve()
    temporary = temporary_path(target)
    try:
        number = os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, _PRIVATE)
        try:
            # Made by root, it must still be read by the user of the gateway.
            with contextlib.suppress(FileNotFoundError, PermissionError):
                status = target.stat()
                os.fchown(number, status.st_uid, status.st_gid)
        finally:
            os.close(number)
        write_file(target, content, temporary=temporary)
    except OSError as error:
        raise InvalidArgument(f"{path} cannot be written: {error.strerror}; name another file with --file") from error


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Keep other commands from changing the file meanwhile: each would write what it has read."""
    folder = path.resolve().parent
    try:
        folder.mkdir(mode=stat.S_IRWXU, parents=True, exist_ok=True)
        number = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise InvalidArgument(f"{path} cannot be written: {error.strerror}; name another file with --file") from error
    try:
        fcntl.flock(number, fcntl.LOCK_EX)
        yield
    finally:
        os.close(number)
