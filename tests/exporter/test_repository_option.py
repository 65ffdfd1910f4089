"""Which repository a command looks in: the default one, and its name in every answer that finds nothing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.exporter.command_line import run


@pytest.mark.parametrize(
    "arguments",
    [
        ("versions", "liver"),
        ("rollback", "liver"),
        ("promote", "liver", 2, "--share", 1),
        ("remove", "liver", 2),
        ("diff", "liver", 1, 2),
        ("tune", "liver", "--triton", "127.0.0.1:1"),
        ("tensorrt-job", "liver", "--gpu", "NVIDIA-L4"),
        ("validate",),
        ("publish", "model.onnx", "--share", 0.5),
    ],
)
@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({}, "state/model_repository"),
        ({"SIXPOINT_STATE_FOLDER": "elsewhere"}, "elsewhere/model_repository"),
        ({"SIXPOINT_STATE_FOLDER": "elsewhere", "SIXPOINT_TRITON_MODEL_REPOSITORY": "models"}, "models"),
    ],
)
def test_what_is_not_found_names_the_repository(
    arguments: tuple[object, ...],
    variables: dict[str, str],
    expected: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    done = run(*arguments)
    assert done.exit_code in {4, 5}
    assert str(tmp_path / expected) in done.stderr


def test_missing_versions_name_the_repository(repository: Path) -> None:
    where = ("--repository", repository)
    for arguments in (("rollback", "tiny", "--to", 7), ("rollback", "tiny"), ("remove", "tiny", 7)):
        assert f" in {repository}" in run(*arguments, *where).stderr
    assert json.loads(run("validate", repository, "--json").stdout)["repository"] == str(repository)


def test_an_empty_repository_is_named(tmp_path: Path) -> None:
    assert run("validate", tmp_path).stdout == f"no models in {tmp_path}\n"


@pytest.mark.parametrize("wide", [(), ("--wide",)])
def test_piped_tables_are_not_wrapped(repository: Path, wide: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "30")
    lines = run("validate", repository, *wide).stdout.splitlines()
    assert any("tiny" in line and "INPUT FP16 [" in line and "valid" in line for line in lines)
    lines = run("versions", "tiny", "--repository", repository, *wide).stdout.splitlines()
    assert [line.split()[:2] for line in lines] == [["version", "state"], ["1", "serving"]]
