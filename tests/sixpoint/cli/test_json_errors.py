"""Errors under ``--json``: JSON on stdout, the sentence on stderr, the exit code as without it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sixpoint import errors
from sixpoint.cli import app, exit_code
from tests.sixpoint.cli.command_line import BOX, SIX_POINTS, Run, plain
from tests.support.images import noisy_volume
from tests.support.ports import free_port

# Every command with --json, in a form that reaches a gateway.
COMMANDS: dict[str, list[str]] = {
    "models": [],
    "sessions": [],
    "annotate": ["ct.nii.gz", "-p", SIX_POINTS, "-o", "mask.nii.gz"],
    "segment": ["ct.nii.gz", "-m", "any", "-o", "mask.nii.gz"],
    "resume": ["fqgwjm62dynp8sbxe3vkrhta5c"],
    "close": ["fqgwjm62dynp8sbxe3vkrhta5c"],
    "loop": ["abdomen", "--rules", "rules.yaml", "--repository", "models", "--folder", "loops"],
    "login": ["--issuer", "http://127.0.0.1:1", "--client-id", "sixpoint"],
}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    noisy_volume().write("ct.nii.gz")
    Path("rules.yaml").write_text("modality: CT")


def test_all_commands_with_json_are_here() -> None:
    commands = {
        command.callback.__name__
        for command in app.registered_commands
        if command.callback and "as_json" in command.callback.__annotations__
    }
    # The findings of the doctor are its answer, not errors. To log out where nobody logged in is no error. To store
    # DICOM files, no gateway is asked.
    assert commands - {"doctor", "logout", "store"} == set(COMMANDS)


@pytest.mark.parametrize("command", sorted(COMMANDS))
def test_an_error_is_json_and_one_sentence(command: str, run: Run) -> None:
    given = [command, *COMMANDS[command], "--server", f"127.0.0.1:{free_port()}"]
    code, out, err = run(*given, "--json")
    without = run(*given)
    assert (code, err) == (without[0], without[2])
    assert (code, without[1]) == (7, "")
    error = json.loads(out)["error"]
    assert (error["type"], error["reason"]) == ("Unavailable", "UNAVAILABLE")
    assert err == f"error: {error['message']}\n"


@pytest.mark.parametrize(
    ("options", "kind", "code"),
    [
        (["ct.nii.gz", "-b", "1,2,3", "-o", "m.nii.gz"], errors.PromptError, 3),
        (["absent.nii.gz", "-b", BOX, "-o", "m.nii.gz"], errors.VolumeError, 3),
        (["ct.nii.gz", "-b", BOX, "-o", "ct.nii.gz"], errors.InvalidArgument, 3),
        (["ct.nii.gz", "-b", BOX, "-o", "m.nii.gz", "-s", "http://gpu1"], errors.InvalidArgument, 3),
    ],
)
def test_the_class_and_the_reason_are_those_of_the_error(
    options: list[str], kind: type[errors.SixpointError], code: int, run: Run
) -> None:
    assert exit_code(kind("")) == code
    ended, out, err = run("annotate", *options, "--json")
    error = json.loads(out)["error"]
    assert (ended, error["type"], error["reason"]) == (code, kind.__name__, kind.reason)
    assert error["message"] in err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["annotate", "ct.nii.gz", "-o", "m.nii.gz", "--json"], "no prompt: give --points"),
        (["annotate", "ct.nii.gz", "-b", BOX, "--json"], "'--output'"),
        (["annotate", "ct.nii.gz", "-b", BOX, "-o", "m.nii.gz", "--series", "0", "--json"], "--series"),
        (["models", "--json", "--nonsense"], "--nonsense"),
        (["resume", "--json"], "ID"),
        (["nonsense", "--json"], "nonsense"),
        (["sessions", "--version", "1", "--json"], "--version needs --model"),
    ],
)
def test_a_wrong_command_line_is_json(arguments: list[str], message: str, run: Run) -> None:
    code, out, err = run(*arguments)
    assert code == 2
    error = json.loads(out)["error"]
    assert error["reason"] == "USAGE"
    assert message in error["message"]
    assert message in plain(err)


def test_without_json_nothing_is_printed_to_stdout(run: Run) -> None:
    assert run("annotate", "ct.nii.gz", "-o", "m.nii.gz")[:2] == (2, "")
