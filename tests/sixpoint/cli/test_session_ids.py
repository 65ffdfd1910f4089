"""Ids of sessions on the command line: what a command prints can be typed again."""

from __future__ import annotations

import secrets
import shlex
from urllib.parse import quote

import pytest
import typer.main

from gateway.core.runtime.ids import new_id
from sixpoint.cli import app
from sixpoint.cli.options.session_ids import resume_command

_GROUP = typer.main.get_command(app)

# What follows an id, or precedes it, in the commands that are printed and documented.
_REST = {
    "resume": [
        ["-o", "FILE"],
        ["--click", "-75,70,9", "-o", "all.nii.gz"],
        ["-c", "+1,2,3", "-c", "-4,5,6", "--undo", "2"],
        ["--segment", "2", "--name", "liver", "--box", "1,2,3 4,5,6"],
        ["-s", "gpu1:50051", "-m", "annotation", "--json"],
    ],
    "close": [[], ["-s", "gpu1:50051"], ["--server=gpu1:50051"]],
}


def parsed(command: str, arguments: list[str]) -> dict[str, object]:
    return dict(_GROUP.commands[command].make_context(command, list(arguments)).params)  # type: ignore[attr-defined]


def old_ids(count: int) -> list[str]:
    """Ids as gateways up to version 0.1 gave them, most of which begin with a hyphen, and some like known options."""
    random_ids = [secrets.token_urlsafe(16) for _ in range(count)]
    hyphens = ["-" + text[1:] for text in random_ids]
    options = [f"-{letter}{text[2:]}" for letter in "pfbcmso-" for text in random_ids[: count // 50]]
    return [*random_ids[: count // 4], *hyphens, *options]


def argument(command: str, *sessions: str) -> object:
    """What the command gets: ``close`` takes several ids."""
    return list(sessions) if command == "close" else sessions[0]


@pytest.mark.parametrize("command", sorted(_REST))
def test_a_new_id_is_taken_as_an_argument(command: str) -> None:
    for number in range(1000):
        session = new_id()
        rest = _REST[command][number % len(_REST[command])]
        assert parsed(command, [session, *rest])["session_id"] == argument(command, session)
        assert parsed(command, [*rest, session])["session_id"] == argument(command, session)


@pytest.mark.parametrize("command", sorted(_REST))
def test_an_old_id_is_taken_as_an_argument_also_if_it_begins_with_a_hyphen(command: str) -> None:
    for number, session in enumerate(old_ids(1000)):
        rest = _REST[command][number % len(_REST[command])]
        expected = parsed(command, ["any", *rest]) | {"session_id": argument(command, session)}
        assert parsed(command, [session, *rest]) == expected
        assert parsed(command, [*rest, session]) == expected
        assert parsed(command, [*rest, "--", session]) == expected


def test_several_ids_are_taken_also_if_they_begin_with_a_hyphen() -> None:
    ids = [new_id() for _ in range(1000)]
    for new, old, other in zip(ids, old_ids(1000), reversed(old_ids(1000)), strict=False):
        for arguments in ([new, old, other], ["-s", "gpu1:50051", old, new, other], [old, other, "--", new]):
            assert sorted(parsed("close", arguments)["session_id"]) == sorted([new, old, other])  # type: ignore[call-overload]


@pytest.mark.parametrize("server", ["127.0.0.1:50051", "gpu1", "[::1]:50052"])
def test_the_command_that_continues_a_session_reaches_its_gateway(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("", "gpu1", "other:1"):
        monkeypatch.setenv("SIXPOINT_SERVER", variable)
        for session in (new_id(), *old_ids(20)):
            program, command, *arguments = shlex.split(resume_command(session, server=server))
            assert (program, command) == ("sixpoint", "resume")
            values = parsed("resume", [*arguments, "-o", "FILE"])
            assert (values["session_id"], values["server"]) == (session, server)


def test_a_new_id_is_the_same_for_shells_urls_and_file_systems() -> None:
    ids = {new_id() for _ in range(1000)}
    assert len(ids) == 1000
    for session in ids:
        assert shlex.split(f"sixpoint resume {session} -o FILE")[2] == session
        assert shlex.quote(session) == quote(session, safe="") == session.lower() == session
        assert session.isalnum()
        assert session[0].isalpha()
        assert not set(session) & set("il1o0")
        # 32 characters is the width of the column in the database.
        assert len(session) <= 32
    # At least 120 bits: one of 23 letters, and 25 of 31 characters.
    assert 23 * 31 ** (min(map(len, ids)) - 1) >= 2**120


def test_an_unknown_option_is_still_refused() -> None:
    for arguments in (["any", "--no-such-option"], ["-Vk"], ["any", "-" + "A" * 21]):
        with pytest.raises(typer.BadParameter.__bases__[0]):
            parsed("resume", arguments)
