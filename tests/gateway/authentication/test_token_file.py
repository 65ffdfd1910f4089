"""The file of tokens: what it says, what is refused, and what happens when it changes."""

from __future__ import annotations

import asyncio
import logging
import os
import threading
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from gateway.authentication.names import check_subject
from gateway.authentication.token_editing import token_digest
from gateway.authentication.token_file import Entry, EntryKind, TokenFile, read_entries
from gateway.core.access import Role
from sixpoint.errors import InvalidArgument

DIGEST = token_digest("sxp_secret")
ALICE = f'[alice]\nsha256 = "{DIGEST}"\nroles = ["annotator"]\n'
BOB = f'["bob@clinic"]\nkind = "path"\nsha256 = "{"0" * 64}"\nsubject = "Bob"\ntenant = "clinic-b"\nroles = []\n'


async def alice(file: TokenFile) -> Entry | None:
    return await file.find(EntryKind.HEADER, DIGEST)


def test_an_entry_says_who_calls_and_has_defaults() -> None:
    entries = read_entries(f"{ALICE}expires = 2027-03-01T12:00:00+01:00\n{BOB}expires = 2027-03-01\n".encode())
    noon, end = datetime(2027, 3, 1, 11, tzinfo=UTC), datetime(2027, 3, 2, tzinfo=UTC)
    annotator = frozenset({Role.ANNOTATOR})
    assert list(entries.values()) == [
        Entry("alice", EntryKind.HEADER, DIGEST, "alice", "default", annotator, noon.timestamp()),
        # What expires on a day is valid until it is over.
        Entry("bob@clinic", EntryKind.PATH, "0" * 64, "Bob", "clinic-b", frozenset(), end.timestamp()),
    ]


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (f"{ALICE}secret\n{BOB}", "line 4 is no TOML"),
        (f"{ALICE}x = [", "the last line is no TOML"),
        ("x = " + "[" * 100_000, "is no TOML"),
        (f"{ALICE}[bob]\nsha256 = 'secret'\nroles = []", "the entry in line 4: sha256 has 64 hexadecimal digits"),
        (f"{ALICE}[bob]\nsha256 = '{DIGEST}'\nroles = []", "the entry in line 4: an earlier entry has the same sha256"),
        (f"{ALICE}[bob]\nroles = []", "the entry in line 4: an entry of kind header needs sha256"),
        (f"[bob]\nkind = 'certificate'\nsha256 = '{DIGEST}'\nroles = []", "has certificate, not sha256"),
        (f"{ALICE}kind = 'secret'", "the entry in line 1: kind is header, path, certificate"),
        (ALICE.replace("annotator", "secret"), "roles has a role that does not exist; there are viewer, annotator"),
        (ALICE.replace('["annotator"]', '"secret"'), "roles is a list"),
        (f"{ALICE}tenant = 'Secret'", "a tenant's name has"),
        (f"{ALICE}subject = ' '", "the name of a subject is not empty"),
        (f"{ALICE}subject = 7", "subject is a text"),
        (f"{ALICE}secret = 7", "has only the fields certificate, expires"),
        (f"{ALICE}expires = '2027-03-01'", "expires is a day or a time without quotes"),
        (f"{ALICE}expires = 2027-03-01T00:00:00", "expires needs a time zone"),
        ("alice = 7", "an entry: an entry is a table"),
        ("[a]\n# " + "x" * 2**23, "more than 8 MiB"),
    ],
)
def test_an_invalid_file_is_refused_by_its_line_and_nothing_of_it_is_repeated(content: str, problem: str) -> None:
    with pytest.raises(InvalidArgument, match=problem) as caught:
        read_entries(content.encode())
    assert "ecret" not in caught.value.message
    assert DIGEST not in caught.value.message


def test_a_file_that_cannot_be_used_stops_the_start(tmp_path: Path) -> None:
    path = tmp_path / "tokens.toml"
    with pytest.raises(InvalidArgument, match=r"No such file.*make a token with gateway token new"):
        TokenFile(path)
    path.write_text("\n")
    with pytest.raises(InvalidArgument, match="the file is empty"):
        TokenFile(path)
    path.write_bytes(b"\xff")
    with pytest.raises(InvalidArgument, match="is not UTF-8"):
        TokenFile(path)


@pytest.mark.parametrize("name", [" ada", "ada\u00a0", "a\u200bda", "\u202eada", "\ufeffada", "ada\x1b[31m", ""])
def test_a_subject_does_not_look_like_another_one(name: str) -> None:
    with pytest.raises(InvalidArgument, match=r"subject|control characters"):
        check_subject(name)


@pytest.mark.parametrize("name", ["Zo\u00eb O'Neil, MD", "a/b@clinic.example", "\u0645\u06cc\u200c\u0634\u0648\u062f"])
def test_a_subject_has_any_name_that_people_have(name: str) -> None:
    assert check_subject(name) == name


async def test_changes_count_and_broken_ones_leave_the_last_good_entries(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "tokens.toml"
    path.write_text(ALICE)
    file = TokenFile(path, interval=0)
    assert await alice(file)

    # Half written, empty, gone: each is said once.
    for change in (lambda: path.write_text(ALICE[:-5]), lambda: path.write_text(""), path.unlink):
        caplog.clear()
        change()
        for _ in range(3):
            assert await alice(file)
        warnings = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
        assert len(warnings) == 1
        assert "the earlier entries stay" in warnings[0]
        assert str(tmp_path) not in caplog.text

    path.write_text(f"# nobody\n{BOB}")
    assert await alice(file) is None
    assert await file.find(EntryKind.PATH, "0" * 64)
    # A token for paths is none for headers.
    assert await file.find(EntryKind.HEADER, "0" * 64) is None


async def test_another_file_of_the_same_size_and_time_is_noticed(tmp_path: Path) -> None:
    path, other = tmp_path / "tokens.toml", tmp_path / "other.toml"
    path.write_text(ALICE)
    other.write_text(ALICE.replace(DIGEST, "1" * 64))
    status = path.stat()
    os.utime(other, ns=(status.st_atime_ns, status.st_mtime_ns))
    file = TokenFile(path, interval=0)
    other.replace(path)
    assert await alice(file) is None


async def test_a_file_system_that_hangs_keeps_one_thread_and_one_call_waiting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "tokens.toml"
    path.write_text(ALICE)
    file = TokenFile(path, interval=0)
    looks, back = [0], threading.Event()

    def hang() -> tuple[int, ...]:
        looks[0] += 1
        back.wait(10)
        return (looks[0],)

    monkeypatch.setattr(file, "_stat", hang)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(alice(file), 0.05)
    for _ in range(5):
        assert await asyncio.wait_for(alice(file), 1)
    assert looks == [1]
    back.set()


async def test_a_new_entry_is_found_at_once_and_guesses_make_few_looks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "tokens.toml"
    path.write_text(BOB)
    file = TokenFile(path, interval=3600)
    looks, look = list[float](), file._stat

    def counted() -> tuple[int, ...]:
        looks.append(time.monotonic())
        return look()

    monkeypatch.setattr(file, "_stat", counted)
    began = time.monotonic()
    for number in range(5000):
        assert await file.find(EntryKind.HEADER, f"{number:064}") is None
    assert len(looks) <= 1 + 10 * (time.monotonic() - began)
    path.write_text(f"{BOB}{ALICE}")
    await asyncio.sleep(0.15)
    assert await alice(file)


async def test_it_is_not_looked_at_for_each_call(tmp_path: Path) -> None:
    path = tmp_path / "tokens.toml"
    path.write_text(ALICE)
    file = TokenFile(path, interval=3600)
    path.unlink()
    assert await alice(file)
