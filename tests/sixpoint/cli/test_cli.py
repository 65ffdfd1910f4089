"""Help, usage errors and exit codes. Commands that need a server are tested in tests/end_to_end."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from sixpoint import cli, errors
from sixpoint.cli import EXIT_CODES, app, exit_code
from sixpoint.cli.doctor import Finding
from sixpoint.errors import SixpointError
from tests.sixpoint.cli.command_line import BOX, SIX_POINTS, Run, plain
from tests.support.images import noisy_volume
from tests.support.ports import free_port


@pytest.mark.parametrize("command", ["models", "annotate", "phantom"])
def test_the_help_of_a_command_shows_an_example(command: str) -> None:
    result = CliRunner().invoke(app, [command, "--help"])
    assert result.exit_code == 0
    assert f"Example: sixpoint {command} " in plain(result.output)


def test_every_command_has_an_example() -> None:
    assert all("Example: " in (command.epilog or "") for command in app.registered_commands)
    assert {command.callback.__name__ for command in app.registered_commands if command.callback} == {
        "models",
        "annotate",
        "phantom",
        "sessions",
        "resume",
        "segment",
        "store",
        "close",
        "doctor",
        "login",
        "logout",
        "loop",
    }


def test_the_help_names_every_exit_code() -> None:
    text = plain(CliRunner().invoke(app, ["--help"]).output)
    epilog = text[text.index("Exit codes:") :]
    assert all(re.search(rf"\b{code} ", epilog) for code in {0, 2, *EXIT_CODES.values()})


def test_the_module_runs_as_the_command_does() -> None:
    done = subprocess.run([sys.executable, "-m", "sixpoint", "--help"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0
    assert "phantom" in done.stdout


def test_letters_that_the_encoding_lacks_are_printed_as_escapes() -> None:
    script = (
        "from rich.console import Console; from sixpoint import cli; cli.app = lambda: Console().print('\\u5de6'); "
    )
    environment = {**os.environ, "PYTHONIOENCODING": "cp1252"}
    command = [sys.executable, "-c", script + "cli.main()"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, env=environment)
    assert (done.returncode, done.stdout, done.stderr) == (0, "\\u5de6\n", "")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "no prompt: give --points"),
        (["-p", SIX_POINTS, "-f", "points.json"], "give only one of --points"),
        (["-p", SIX_POINTS, "-b", BOX], "give only one of --points"),
        (["-b", BOX, "-f", "points.json"], "give only one of --points"),
    ],
    ids=["neither", "points and file", "points and box", "box and file"],
)
def test_an_object_must_be_given_in_one_way(options: list[str], message: str, tmp_path: Path, run: Run) -> None:
    code, _, err = run("annotate", tmp_path / "ct.nii.gz", "-o", tmp_path / "mask.nii.gz", *options)
    assert code == 2
    assert message in plain(err)


@pytest.mark.parametrize("arguments", [["annotate", "ct.nii.gz", "-p", SIX_POINTS], ["phantom"], ["nonsense"]])
def test_a_wrong_command_line_exits_with_2(arguments: list[str]) -> None:
    assert CliRunner().invoke(app, arguments).exit_code == 2


@pytest.mark.parametrize("kind", list(SixpointError.tree()), ids=lambda kind: kind.__name__)
def test_every_error_exits_with_the_code_of_its_branch(kind: type[SixpointError]) -> None:
    branch = next(parent for parent in kind.__mro__ if parent in EXIT_CODES)
    assert exit_code(kind("")) == EXIT_CODES[branch]
    assert exit_code(kind("")) not in (0, 2)


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        (errors.VolumeError, 3),
        (errors.PromptError, 3),
        (errors.ModelNotFound, 4),
        (errors.SessionExpired, 4),
        (errors.PromptNotSupported, 5),
        (errors.ResourceExhausted, 6),
        (errors.TritonUnavailable, 7),
        (errors.DeadlineExceeded, 8),
        (errors.Unauthenticated, 10),
        (errors.PermissionDenied, 10),
        (errors.Cancelled, 1),
        (errors.InferenceError, 1),
        (SixpointError, 1),
    ],
)
def test_exit_codes_match_the_help(kind: type[SixpointError], code: int) -> None:
    assert exit_code(kind("")) == code


def test_an_error_is_one_line_on_stderr(tmp_path: Path, run: Run) -> None:
    code, out, err = run("annotate", tmp_path / "no[bold]ne.nii.gz", "-o", tmp_path / "mask.nii.gz", "-p", SIX_POINTS)
    assert (code, out) == (3, "")
    assert err == f"error: no such file or folder: {tmp_path}/no[bold]ne.nii.gz\n"


def test_an_interrupt_exits_with_130(monkeypatch: pytest.MonkeyPatch, run: Run) -> None:
    def interrupted() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "app", interrupted)
    assert run()[0] == 130


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["-p", "1,2 3,4,5"], "1,2: expected three numbers"),
        (["-p", SIX_POINTS, "--frame", "scanner"], "unknown frame 'scanner'"),
        (["-f", "missing.json"], "cannot read points from missing.json"),
        (["-b", "1,2,3"], "expected its two opposite corners"),
        (["-b", "1,2,3 30,30,3"], "the box is flat"),
        (["-b", BOX, "-c", "20,18,16"], "20,18,16: expected + (positive click)"),
        (["-b", BOX, "-c", "+20,18"], "+20,18: expected three numbers"),
        (["-p", SIX_POINTS, "-c", "+20,18,16", "-c", "-20,18,99"], "the click lies outside the image"),
    ],
)
def test_wrong_points_exit_with_3(options: list[str], message: str, tmp_path: Path, run: Run) -> None:
    noisy_volume().write(tmp_path / "ct.nii.gz")
    code, _, err = run("annotate", tmp_path / "ct.nii.gz", "-o", tmp_path / "mask.nii.gz", *options)
    assert code == 3
    assert message in err


def test_an_absent_gateway_exits_with_7(tmp_path: Path, run: Run) -> None:
    target = f"127.0.0.1:{free_port()}"
    noisy_volume().write(tmp_path / "ct.nii.gz")
    mask = tmp_path / "mask.nii.gz"
    code, out, err = run("annotate", tmp_path / "ct.nii.gz", "-o", mask, "-p", SIX_POINTS, "--server", target, "--json")
    assert code == 7
    assert json.loads(out)["error"]["reason"] == "UNAVAILABLE"
    assert f"no gateway answers at {target}" in err
    assert "make serve" in err
    assert not mask.exists()


def test_the_environment_variable_names_the_gateway(monkeypatch: pytest.MonkeyPatch, run: Run) -> None:
    target = f"127.0.0.1:{free_port()}"
    monkeypatch.setenv("SIXPOINT_SERVER", target)
    code, _, err = run("models")
    assert code == 7
    assert target in err


def test_the_doctor_reports_errors_of_the_gateway_as_json(monkeypatch: pytest.MonkeyPatch, run: Run) -> None:
    def refused(_: object) -> Iterator[Finding]:
        raise errors.InternalError("not for you")

    monkeypatch.setattr("sixpoint.cli.doctor.command.check_connection", lambda _: [Finding("connection", True, "here")])
    monkeypatch.setattr("sixpoint.cli.doctor.command._check_gateway", refused)
    code, out, _ = run("doctor", "--json")
    assert code == 7
    assert [(finding["what"], finding["well"], finding["seen"]) for finding in json.loads(out)][1:] == [
        ("connection", True, "here"),
        ("gateway", False, "not for you"),
    ]


@pytest.mark.parametrize("options", [(), ("--server", "127.0.0.1:1")])
def test_the_doctor_takes_an_address_without_an_option(options: tuple[str, ...], run: Run) -> None:
    code, out, _ = run("doctor", "http://gpu1:50051", *options)
    assert code == 7
    assert "wrong address" in out
    assert "write gpu1:50051" in out


def test_the_command_warns_and_prints_no_value(monkeypatch: pytest.MonkeyPatch, run: Run) -> None:
    monkeypatch.setenv("SIXPOINT_SERVRE", "secret-value")
    _, out, err = run("models", "--nonsense", "--json")
    assert err.startswith("warning: the environment variable SIXPOINT_SERVRE is no setting")
    assert "did you mean SIXPOINT_SERVER?" in err
    assert "secret-value" not in out + err
    assert "warning" not in out
