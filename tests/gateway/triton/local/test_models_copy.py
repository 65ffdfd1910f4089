"""``gateway models copy``."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

import pytest
from typer.testing import CliRunner

from gateway import cli
from gateway.triton.local.shipped_models import served_versions
from sixpoint.errors import InvalidArgument, Unavailable
from tests.support.paths import ROOT

SHIPPED = ROOT / "model_repository"


@pytest.fixture(autouse=True)
def working_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)


def _copy(folder: Path) -> str:
    done = CliRunner().invoke(cli.app, ["models", "copy", str(folder)])
    if done.exception:
        raise done.exception
    return done.output


def test_the_shipped_models_are_copied_byte_for_byte_for_every_user(tmp_path: Path) -> None:
    folder = tmp_path / "models"
    assert _copy(folder) == f"{folder} has {', '.join(served_versions(SHIPPED))}\n"
    shipped = [path for path in SHIPPED.rglob("*") if path.is_file()]
    assert shipped
    for path in shipped:
        copy = folder / path.relative_to(SHIPPED)
        assert copy.read_bytes() == path.read_bytes()
        # Triton's container has another user.
        assert copy.stat().st_mode & 0o044 == path.stat().st_mode & 0o044


def test_a_second_copy_changes_nothing(tmp_path: Path) -> None:
    _copy(tmp_path)
    config = tmp_path / "annotation" / "config.pbtxt"
    config.write_text(f"{config.read_text()}\n# tuned\n")
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("model.onnx")}
    assert _copy(tmp_path) == f"{tmp_path} has {', '.join(served_versions(SHIPPED))}\n"
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("model.onnx")} == before
    assert config.read_text().endswith("# tuned\n")


def test_without_the_shipped_models_the_error_says_where_to_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InvalidArgument, match="start in the folder of sixpoint's checkout"):
        _copy(tmp_path / "models")


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InvalidArgument, match=r"cannot copy the models to .*file/models: Not a directory"):
        _copy(tmp_path / "file" / "models")


def test_an_empty_folder_that_another_process_fills_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cli, "_OTHER_COPIES_SECONDS", 0.1)
    descriptor = os.open(tmp_path, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        with pytest.raises(Unavailable, match="has no models yet: another process"):
            _copy(tmp_path)
    finally:
        os.close(descriptor)
