"""gateway token new, list, revoke."""

from __future__ import annotations

import json
import re
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from gateway.authentication.token_editing import NewEntry, add_entry, stored_entries, token_digest
from gateway.authentication.token_file import EntryKind
from gateway.cli import app
from gateway.core.access import Role
from sixpoint.errors import FailedPrecondition, InvalidArgument, NotFound


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "folder" / "tokens.toml"


def run(*arguments: str, file: Path) -> Result:
    result = CliRunner().invoke(app, ["token", *arguments, "--file", str(file)])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def test_a_token_is_printed_once_and_stored_as_its_digest(path: Path) -> None:
    result = run("new", "alice", file=path)
    token = result.stdout.strip()
    assert re.fullmatch(r"sxp_[A-Za-z0-9_-]{43}", token)
    entry = stored_entries(path)["alice"]
    assert entry.key == token_digest(token)
    assert (entry.subject, entry.tenant, entry.roles) == ("alice", "default", frozenset({Role.ANNOTATOR}))
    assert token not in path.read_text()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert run("new", "bob", file=path).stdout.strip() != token


def test_options_are_written_and_listed(path: Path) -> None:
    options = ("--tenant", "clinic-a", "--role", "viewer", "--subject", 'Bob "B"', "--path")
    made = json.loads(run("new", "bob", *options, "--expires", "2990-03-01", "--json", file=path).stdout)
    assert made["expires"] == "2990-03-02T00:00:00+00:00"
    run("new", "pc1", "--certificate", "pc1.clinic.example", "--expires", "never", file=path)
    [bob, pc1] = json.loads(run("list", "--json", file=path).stdout)
    assert bob == {
        "name": "bob",
        "kind": "path",
        "certificate": None,
        "subject": 'Bob "B"',
        "tenant": "clinic-a",
        "roles": ["viewer"],
        "expires": "2990-03-02T00:00:00+00:00",
        "expired": False,
    }
    assert (pc1["kind"], pc1["certificate"], pc1["expires"]) == ("certificate", "pc1.clinic.example", None)
    listed = run("list", file=path).stdout
    assert 'bob: path, Bob "B" of tenant clinic-a, viewer, until 2990-03-01' in listed
    assert made["token"] not in listed


def test_what_people_wrote_into_the_file_stays(path: Path) -> None:
    path.parent.mkdir()
    path.write_text("# ours\n")
    for name in ("alice", "bob", "carol"):
        run("new", name, file=path)
    path.write_text(path.read_text().replace("[bob]", "[bob] # night shift").replace("[carol]", "# day\n[carol]"))
    before = path.read_text()
    run("revoke", "bob", file=path)
    after = path.read_text()
    assert set(stored_entries(path)) == {"alice", "carol"}
    assert "# day\n[carol]" in after
    assert before.replace(after[: after.index("# day")], "").endswith(after[after.index("# day") :])
    assert "night" not in after
    run("revoke", "alice", file=path)
    run("revoke", "carol", file=path)
    # The gateway takes an empty file for one that is half written.
    assert path.read_text().startswith("# ours")


def test_a_link_and_its_owner_stay(path: Path, tmp_path: Path) -> None:
    path.parent.mkdir()
    target = tmp_path / "target.toml"
    path.symlink_to(target)
    run("new", "alice", file=path)
    assert path.is_symlink()
    assert set(stored_entries(target)) == {"alice"}


def test_commands_at_once_lose_nothing(path: Path) -> None:
    def add(number: int) -> None:
        entry = NewEntry(f"n{number}", EntryKind.HEADER, "x", "default", Role.VIEWER, None)
        add_entry(path, entry, key=token_digest(str(number)))

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(add, range(24)))
    assert len(stored_entries(path)) == 24
    assert list(path.parent.iterdir()) == [path]


def test_what_cannot_be_done_is_said_and_changes_nothing(path: Path) -> None:
    run("new", "alice", file=path)
    run("new", "pc1", "--certificate", "pc1", file=path)
    before = path.read_bytes()
    refused: list[tuple[type[Exception], str, tuple[str, ...]]] = [
        (FailedPrecondition, "gateway token revoke alice", ("new", "alice")),
        (FailedPrecondition, "for this certificate already", ("new", "pc2", "--certificate", "pc1")),
        (InvalidArgument, "the name of an entry", ("new", "a b")),
        (InvalidArgument, "a tenant's name", ("new", "bob", "--tenant", "A")),
        (InvalidArgument, "control characters", ("new", "bob", "--subject", "a\nb")),
        (InvalidArgument, "exclude each other", ("new", "bob", "--path", "--certificate", "x")),
        (InvalidArgument, "--expires is a number of days", ("new", "bob", "--expires", "soon")),
        (InvalidArgument, "--expires is in the past", ("new", "bob", "--expires", "2020-01-01")),
        (InvalidArgument, "--expires is a number of days", ("new", "bob", "--expires", "99999d" * 2)),
        (NotFound, "gateway token list", ("revoke", "bob")),
    ]
    for error, sentence, arguments in refused:
        with pytest.raises(error, match=sentence):
            run(*arguments, file=path)
    assert path.read_bytes() == before
    # Tables within tables, which the command does not write.
    path.write_text(f"alice = {{ sha256 = '{'0' * 64}', roles = [] }}\n")
    with pytest.raises(InvalidArgument, match="change it by hand"):
        run("revoke", "alice", file=path)
    path.write_text("[alice]")
    with pytest.raises(InvalidArgument, match="the entry in line 1"):
        run("new", "bob", file=path)


def test_the_file_is_that_of_the_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIXPOINT_STATE_FOLDER", str(tmp_path))
    assert CliRunner().invoke(app, ["token", "new", "alice"]).exit_code == 0
    assert set(stored_entries(tmp_path / "tokens.toml")) == {"alice"}
