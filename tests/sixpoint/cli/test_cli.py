"""The command line where it needs no server; with one, see tests/end_to_end."""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console
from typer.testing import CliRunner

from sixpoint import cli, errors
from sixpoint.cli import EXIT_CODES, app, exit_code
from sixpoint.cli.doctor import Finding
from sixpoint.errors import SixpointError
from sixpoint.geometry import Geometry
from sixpoint.mask import Mask, Timings
from sixpoint.phantom import ORGANS, Phantom, make_phantom
from sixpoint.prompts import ExtremePoints, read_points
from sixpoint.report import Step, report, report_table
from sixpoint.volume import Volume
from tests.support.images import noisy_volume
from tests.support.ports import free_port

Run = Callable[..., tuple[int, str, str]]

SIX = "5,18,16 35,18,16 20,5,16 20,31,16 20,18,4 20,18,28"


def plain(text: str) -> str:
    """The words of an output: no colours, no frames, no line breaks."""
    return " ".join(re.sub(r"\x1b\[[0-9;]*m|[│╭╮╰╯─]", " ", text).split())


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run ``sixpoint`` as its entry point does; exit code, stdout, stderr."""

    def runner(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["sixpoint", *map(str, arguments)])
        with pytest.raises(SystemExit) as caught:
            cli.main()
        captured = capsys.readouterr()
        return int(caught.value.code or 0), captured.out, captured.err

    return runner


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What ``sixpoint phantom`` writes, into a folder that it makes."""
    target = tmp_path_factory.mktemp("phantom") / "new" / "ct"
    result = CliRunner().invoke(app, ["phantom", str(target)])
    assert result.exit_code == 0, result.output
    assert "wrote image.nii.gz, labels.nii.gz" in plain(result.output)
    return target


@pytest.fixture(scope="module")
def made() -> Phantom:
    return make_phantom(seed=6)


# Help


@pytest.mark.parametrize("command", ["models", "annotate", "phantom"])
def test_the_help_of_every_command_shows_an_example(command: str) -> None:
    result = CliRunner().invoke(app, [command, "--help"])
    assert result.exit_code == 0
    assert f"Example: sixpoint {command} " in plain(result.output)


def test_there_is_no_command_without_an_example() -> None:
    assert all("Example: " in (command.epilog or "") for command in app.registered_commands)
    assert {command.callback.__name__ for command in app.registered_commands if command.callback} == {
        "models",
        "annotate",
        "phantom",
        "sessions",
        "resume",
        "segment",
        "close",
        "doctor",
    }


def test_the_help_names_every_exit_code() -> None:
    text = plain(CliRunner().invoke(app, ["--help"]).output)
    epilog = text[text.index("Exit codes:") :]
    assert all(re.search(rf"\b{code} ", epilog) for code in {0, 2, *EXIT_CODES.values()})


def test_the_module_runs_as_the_command_does() -> None:
    done = subprocess.run([sys.executable, "-m", "sixpoint", "--help"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0
    assert "phantom" in done.stdout


def test_names_whose_letters_the_terminals_encoding_lacks_are_printed_escaped() -> None:
    script = (
        "from rich.console import Console; from sixpoint import cli; cli.app = lambda: Console().print('\\u5de6'); "
    )
    environment = {**os.environ, "PYTHONIOENCODING": "cp1252"}
    command = [sys.executable, "-c", script + "cli.main()"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, env=environment)
    assert (done.returncode, done.stdout, done.stderr) == (0, "\\u5de6\n", "")


# Wrong command lines


BOX = "5,5,4 35,31,28"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "no prompt: give --points"),
        (["-p", SIX, "-f", "points.json"], "give only one of --points"),
        (["-p", SIX, "-b", BOX], "give only one of --points"),
        (["-b", BOX, "-f", "points.json"], "give only one of --points"),
    ],
    ids=["neither", "points and file", "points and box", "box and file"],
)
def test_an_object_must_be_given_in_one_way(options: list[str], message: str, tmp_path: Path, run: Run) -> None:
    code, _, err = run("annotate", tmp_path / "ct.nii.gz", "-o", tmp_path / "mask.nii.gz", *options)
    assert code == 2
    assert message in plain(err)


@pytest.mark.parametrize("arguments", [["annotate", "ct.nii.gz", "-p", SIX], ["phantom"], ["nonsense"]])
def test_a_wrong_command_line_exits_with_2(arguments: list[str]) -> None:
    assert CliRunner().invoke(app, arguments).exit_code == 2


# Exit codes


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
        (errors.Cancelled, 1),
        (errors.InferenceError, 1),
        (SixpointError, 1),
    ],
)
def test_exit_codes_are_those_of_the_help(kind: type[SixpointError], code: int) -> None:
    assert exit_code(kind("")) == code


def test_an_error_is_one_line_on_stderr(tmp_path: Path, run: Run) -> None:
    code, out, err = run("annotate", tmp_path / "no[bold]ne.nii.gz", "-o", tmp_path / "mask.nii.gz", "-p", SIX)
    assert (code, out) == (3, "")
    assert err == f"error: no such file or folder: {tmp_path}/no[bold]ne.nii.gz\n"


def test_an_interrupt_exits_with_130(monkeypatch: pytest.MonkeyPatch, run: Run) -> None:
    def interrupted() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "app", interrupted)
    assert run()[0] == 130


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (["-p", "1,2 3,4,5"], "1,2: expected three numbers"),
        (["-p", SIX, "--frame", "scanner"], "unknown frame 'scanner'"),
        (["-f", "missing.json"], "cannot read points from missing.json"),
        (["-b", "1,2,3"], "expected its two opposite corners"),
        (["-b", "1,2,3 30,30,3"], "the box is flat"),
        (["-b", BOX, "-c", "20,18,16"], "20,18,16: a click begins with +"),
        (["-b", BOX, "-c", "+20,18"], "+20,18: expected three numbers"),
        (["-p", SIX, "-c", "+20,18,16", "-c", "-20,18,99"], "the click lies outside the image"),
    ],
)
def test_wrong_points_exit_with_3(options: list[str], complaint: str, tmp_path: Path, run: Run) -> None:
    noisy_volume().write(tmp_path / "ct.nii.gz")
    code, _, err = run("annotate", tmp_path / "ct.nii.gz", "-o", tmp_path / "mask.nii.gz", *options)
    assert code == 3
    assert complaint in err


@pytest.mark.parametrize(
    ("output", "preview", "complaint"),
    [
        ("mask.png", "picture.png", "its suffix must be one of"),
        ("file/mask.nii.gz", "picture.png", "Not a directory"),
        ("folder.nii.gz", "picture.png", "Is a directory"),
        ("mask.nii.gz", "file/new/picture.png", "Not a directory"),
    ],
)
@pytest.mark.parametrize(
    "command", [("annotate", "absent.nii.gz", "-p", SIX), ("segment", "absent.nii.gz", "-m", "any"), ("resume", "any")]
)
def test_what_cannot_be_written_is_refused_at_once(
    command: tuple[str, ...], output: str, preview: str, complaint: str, tmp_path: Path, run: Run
) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "folder.nii.gz").mkdir()
    image = ("--image", tmp_path / "absent.nii.gz") if command[0] == "resume" else ()
    code, _, err = run(*command, "-o", tmp_path / output, "--preview", tmp_path / preview, *image)
    assert code == 3
    assert f"cannot write {tmp_path}" in err
    assert complaint in err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "folder.nii.gz"]


@pytest.mark.parametrize(
    ("output", "complaint"),
    [("x" * 300 + "/mask.nii.gz", "File name too long"), ("mask.nii.gz", "Permission denied")],
    ids=["a name that is too long", "a picture that is read-only"],
)
def test_what_the_system_refuses_is_one_line(
    output: str, complaint: str, tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    picture = tmp_path / "picture.png"
    picture.touch()
    # Of root, whom nothing is refused, this would not be said.
    monkeypatch.setattr(os, "access", lambda path, mode: (path, mode) != (picture, os.W_OK))
    code, _, err = run("annotate", "absent.nii.gz", "-p", SIX, "-o", tmp_path / output, "--preview", picture)
    assert code == 3
    assert complaint in err


def test_a_picture_may_go_to_a_device(tmp_path: Path, run: Run) -> None:
    code, _, err = run(
        "annotate", tmp_path / "absent.nii.gz", "-p", SIX, "-o", tmp_path / "mask.nii.gz", "--preview", "/dev/null"
    )
    assert code == 3
    assert "absent.nii.gz" in err


def test_an_absent_gateway_exits_with_7(tmp_path: Path, run: Run) -> None:
    target = f"127.0.0.1:{free_port()}"
    noisy_volume().write(tmp_path / "ct.nii.gz")
    mask = tmp_path / "mask.nii.gz"
    code, out, err = run("annotate", tmp_path / "ct.nii.gz", "-o", mask, "-p", SIX, "--server", target, "--json")
    assert (code, out) == (7, "")
    assert f"no gateway answers at {target}" in err
    assert "make serve" in err
    assert not mask.exists()


def test_the_environment_names_the_gateway(monkeypatch: pytest.MonkeyPatch, run: Run) -> None:
    target = f"127.0.0.1:{free_port()}"
    monkeypatch.setenv("SIXPOINT_SERVER", target)
    code, _, err = run("models")
    assert code == 7
    assert target in err


def test_the_doctor_says_as_json_too_what_the_gateway_refuses(monkeypatch: pytest.MonkeyPatch, run: Run) -> None:
    def refused(_: object) -> Iterator[Finding]:
        raise errors.InternalError("not for you")

    monkeypatch.setattr("sixpoint.cli.doctor._check_connection", lambda _: Finding("connection", True, "here"))
    monkeypatch.setattr("sixpoint.cli.doctor._check_gateway", refused)
    code, out, _ = run("doctor", "--json")
    assert code == 7
    assert [(one["what"], one["well"], one["seen"]) for one in json.loads(out)][1:] == [
        ("connection", True, "here"),
        ("gateway", False, "not for you"),
    ]


# The phantom


def test_the_phantom_reads_back_as_it_was_made(folder: Path, made: Phantom) -> None:
    for name, volume in (("image", made.image), ("labels", made.labels)):
        back = Volume.read(folder / f"{name}.nii.gz")
        assert back.array.dtype == volume.array.dtype
        assert np.array_equal(back.array, volume.array)
        assert back.geometry.same_grid(volume.geometry)


def test_the_phantom_has_points_of_every_organ_and_nothing_else(folder: Path) -> None:
    expected = {"image.nii.gz", "labels.nii.gz", *(f"{organ}.json" for organ in ORGANS)}
    assert {path.name for path in folder.iterdir()} == expected


@pytest.mark.parametrize("organ", ORGANS)
def test_the_phantoms_points_are_the_extremes_of_its_organs(folder: Path, organ: str) -> None:
    labels = Volume.read(folder / "labels.nii.gz")
    index = read_points(folder / f"{organ}.json").to_index(labels.geometry)
    assert index.shape == (6, 3)
    inside = np.argwhere(labels.array == ORGANS[organ])[:, ::-1]
    assert all(labels.array[z, y, x] == ORGANS[organ] for x, y, z in index.astype(int))
    assert np.array_equal(index.min(axis=0), inside.min(axis=0))
    assert np.array_equal(index.max(axis=0), inside.max(axis=0))


def test_the_same_seed_makes_the_same_phantom_and_another_another(made: Phantom) -> None:
    again, other = make_phantom(seed=6), make_phantom(seed=7)
    assert (again.image.digest, again.labels.digest) == (made.image.digest, made.labels.digest)
    assert other.image.digest != made.image.digest


# What is reported


def facts(call: timedelta = timedelta(milliseconds=100)) -> dict[str, object]:
    mask = Mask(
        array=np.ones((2, 3, 4), np.uint8),
        geometry=Geometry((4, 3, 2), (10, 10, 10)),
        model="annotation",
        model_version="7",
        timings=Timings(*(timedelta(milliseconds=n) for n in (1, 2, 30, 4, 5))),
        reply_bytes=17,
    )
    step = Step(ExtremePoints([(1, 2, 3)] * 6), mask, call)
    return report([step], image="[ct].nii.gz", upload=timedelta(milliseconds=250))


def test_the_report_adds_up_to_the_call() -> None:
    assert json.loads(json.dumps(facts())) == {
        "image": "[ct].nii.gz",
        "model": "annotation",
        "model_version": "7",
        "points": 6,
        "clicks": 0,
        "answers": [{"prompt": "extreme points", "volume_ml": 24.0, "call_ms": 100.0}],
        "volume_ml": 24.0,
        "upload_ms": 250.0,
        "preprocess_ms": 3.0,
        "inference_ms": 30.0,
        "postprocess_ms": 9.0,
        "reply_ms": 58.0,
        "reply_bytes": 17,
    }


def test_clocks_that_disagree_make_no_negative_time() -> None:
    assert facts(timedelta(milliseconds=41))["reply_ms"] == 0.0


def test_the_table_shows_names_as_they_are_and_dice_where_it_is_known() -> None:
    def text(of: dict[str, object]) -> str:
        console = Console(width=100, file=io.StringIO())
        with console.capture() as captured:
            console.print(report_table(of))
        return captured.get()

    assert "[ct].nii.gz" in text(facts())
    assert "Dice" not in text(facts())
    assert "0.912 against the known truth" in text(facts() | {"dice": 0.9123})
