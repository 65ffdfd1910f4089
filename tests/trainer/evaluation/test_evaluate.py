"""``trainer evaluate`` as a user types it, over the real gateway and Triton."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from sixpoint.errors import DatasetError, ModelNotFound
from tests.support.ports import free_port
from tests.trainer.conftest import Maker
from trainer.cli import app, main


def test_a_dataset_is_judged_and_everything_is_written(address: str, make_pairs: Maker, tmp_path: Path) -> None:
    options = ["--server", address, "--model", "clicks", "--output", str(tmp_path), "--pictures", "--limit", "2"]
    done = CliRunner().invoke(app, ["evaluate", str(make_pairs(cases=3)), *options])
    assert done.exit_code == 0, done.output
    assert "| shell | 2 |" in done.stdout
    names = ["baselines.png", "clicks.png", "evaluation.json", "evaluation.md", "jitter.png", "pictures"]
    assert sorted(path.name for path in tmp_path.iterdir()) == names
    assert len(list((tmp_path / "pictures").glob("shell-ball_*.png"))) == 2
    found = json.loads((tmp_path / "evaluation.json").read_text())
    assert {"points", "5 clicks", "AUC", "jittered", "box", "random walker", "graph cut"} <= set(
        found["means"]["dice"]["all structures"]
    )


def test_json_is_all_that_is_printed(address: str, make_pairs: Maker, tmp_path: Path) -> None:
    options = ["--server", address, "-m", "ellipsoid", "-o", str(tmp_path), "--merge", "--no-baselines", "--json"]
    done = CliRunner().invoke(app, ["evaluate", str(make_pairs(cases=1)), *options])
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert found["model"] == "ellipsoid"
    # It answers the ellipsoid of the points' box, and the labels are balls.
    assert found["means"]["dice"]["balls"]["points"] > 0.8
    assert "random walker" not in found["means"]["dice"]["balls"]
    assert not (tmp_path / "baselines.png").exists()


def test_a_group_that_is_not_there_is_said_with_those_that_are(address: str, make_pairs: Maker, tmp_path: Path) -> None:
    options = ["--server", address, "-o", str(tmp_path), "--groups", "liver"]
    done = CliRunner().invoke(app, ["evaluate", str(make_pairs(cases=1)), *options])
    assert isinstance(done.exception, DatasetError)
    assert "shell, core" in done.exception.message


def test_a_model_that_is_not_there_is_named(address: str, make_pairs: Maker, tmp_path: Path) -> None:
    options = ["--server", address, "-o", str(tmp_path), "--model", "liver"]
    done = CliRunner().invoke(app, ["evaluate", str(make_pairs(cases=1)), *options])
    assert isinstance(done.exception, ModelNotFound)


@pytest.mark.parametrize(("dataset", "code"), [("PAIRS", 7), ("missing", 3)])
def test_errors_are_a_line_and_an_exit_code(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    make_pairs: Maker,
    tmp_path: Path,
    dataset: str,
    code: int,
) -> None:
    given = str(make_pairs(cases=1)) if dataset == "PAIRS" else str(tmp_path / dataset)
    server = f"127.0.0.1:{free_port()}"
    monkeypatch.setattr("sys.argv", ["trainer", "evaluate", given, "--server", server, "-o", str(tmp_path)])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == code
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.strip()]
    assert line.startswith("error: ")


def test_without_its_extra_the_command_says_what_to_install() -> None:
    program = "import sys; sys.modules['torch'] = None; from trainer.__main__ import main; main()"
    command = [sys.executable, "-c", program, "evaluate", "pairs"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (5, "")
    assert done.stderr.startswith("error: the trainer needs torch, which is not installed: ")
    assert done.stderr.endswith('pip install ".[trainer]"\n')
