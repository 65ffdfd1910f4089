"""Errors of exporter and trainer under ``--json``: JSON on stdout, the sentence on stderr, and the usual exit code."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from exporter.cli import app as exporter
from sixpoint.errors import DatasetError
from trainer.cli import app as trainer


@pytest.mark.parametrize(
    ("arguments", "code", "kind", "reason", "said"),
    [
        (["versions", "liver"], 4, "ModelNotFound", "MODEL_NOT_FOUND", "has no model 'liver'"),
        (["publish", "nowhere.pt"], 3, "InvalidArgument", "INVALID_ARGUMENT", "there is no model nowhere.pt"),
        (["validate", "nowhere"], 5, "FailedPrecondition", "FAILED_PRECONDITION", "no model repository"),
        (["versions"], 2, "MissingParameter", "USAGE", "name"),
        (["versions", "liver", "--bogus"], 2, "NoSuchOption", "USAGE", "--bogus"),
        (["publish", "x.pt", "--precision", "fp8"], 2, "BadParameter", "USAGE", "fp8"),
        (["bogus"], 2, "UsageError", "USAGE", "bogus"),
    ],
)
def test_exporter(
    arguments: list[str], code: int, kind: str, reason: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(exporter, [*arguments, "--json"])
    assert done.exit_code == code
    error = json.loads(done.stdout)["error"]
    assert (error["type"], error["reason"]) == (kind, reason)
    assert said in error["message"]
    assert said in done.stderr
    plain = CliRunner().invoke(exporter, arguments)
    assert (plain.exit_code, plain.stdout) == (code, "")


def test_an_error_of_the_operating_system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    done = CliRunner().invoke(exporter, ["rollback", "liver", "--repository", str(tmp_path / "file"), "--json"])
    assert done.exit_code == 1
    error = json.loads(done.stdout)["error"]
    assert (error["type"], error["reason"]) == ("FileExistsError", "UNKNOWN")


def test_trainer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(trainer, ["evaluate", "nowhere", "--json"])
    assert isinstance(done.exception, DatasetError)  # main() prints it and sets the exit code
    error = json.loads(done.stdout)["error"]
    assert (error["type"], error["reason"]) == ("DatasetError", "INVALID_DATASET")
    assert "nowhere" in error["message"]
    done = CliRunner().invoke(trainer, ["evaluate", "--json"])
    assert done.exit_code == 2
    assert json.loads(done.stdout)["error"]["reason"] == "USAGE"
    assert "dataset" in done.stderr
