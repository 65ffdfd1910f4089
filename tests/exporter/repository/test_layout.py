"""A version is added to a folder completely or not at all, at whatever step it is interrupted."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from exporter.publishing.prepare import prepare
from exporter.publishing.prepared import PreparedModel
from exporter.publishing.publish import publish
from exporter.repository.config import ModelConfig
from exporter.repository.folder import FolderRepository
from exporter.repository.layout import model_folders, version_numbers
from exporter.repository.validate import validate
from exporter.repository.view import finished_versions
from exporter.sources.options import ExportOptions
from sixpoint.errors import FailedPrecondition, InvalidArgument, ModelSpecError
from sixpoint.model_spec import ModelSpec


class Crash(BaseException):
    """Ends the process: no code may catch it."""


def crash_at(step: int, monkeypatch: pytest.MonkeyPatch) -> Callable[[], int]:
    """Crash at the given call that changes the disk and at every later one; return a counter of these calls."""
    count = 0

    def wrap(function: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(*arguments: Any, **options: Any) -> Any:
            nonlocal count
            count += 1
            if count >= step:
                raise Crash
            return function(*arguments, **options)

        return wrapped

    for name in ("mkdir", "write_bytes", "rename", "replace", "unlink"):
        monkeypatch.setattr(Path, name, wrap(getattr(Path, name)))
    for name in ("copyfile", "rmtree"):
        monkeypatch.setattr(shutil, name, wrap(getattr(shutil, name)))
    monkeypatch.setattr(os, "fsync", wrap(os.fsync))
    return lambda: count


@pytest.fixture
def ready(exported: Path, tmp_path: Path) -> PreparedModel:
    """The exported model with another title, prepared for publishing."""
    (tmp_path / "work").mkdir()
    one = prepare(exported / "tiny", ExportOptions(), name="tiny", folder=tmp_path / "work")
    assert one.config.spec is not None
    return changed(one, one.config.spec.model_copy(update={"title": "The next"}))


def changed(one: PreparedModel, spec: ModelSpec) -> PreparedModel:
    return replace(one, config=ModelConfig.of(spec, name="tiny"))


@pytest.mark.parametrize("new", [True, False], ids=["new model", "next version"])
def test_a_crash_at_any_step_leaves_a_valid_repository(
    new: bool, repository: Path, ready: PreparedModel, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    models = FolderRepository(tmp_path / "new" if new else repository)
    step = crashes = 0
    while True:
        step += 1
        before = finished_versions(models, "tiny")
        with monkeypatch.context() as patch:
            calls = crash_at(step, patch)
            try:
                publish(models, ready, triton=None)
            except Crash:
                crashes += 1
            else:
                assert calls() < step
                break
        if not models.folder.is_dir():
            continue
        assert [problem for report in validate(models.folder) for problem in report.problems] == []
        assert set(before) <= set(finished_versions(models, "tiny"))
    assert crashes > 20
    # The last publish removed the files of the crashed ones.
    assert not [path for path in models.folder.rglob("*") if path.name.startswith(".")]
    assert [report.problems for report in validate(models.folder)] == [()]
    assert ModelConfig.read(models.folder / "tiny").spec == ready.config.spec


def test_versions_count_up_from_the_highest(repository: Path, ready: PreparedModel) -> None:
    (repository / "tiny" / "1").rename(repository / "tiny" / "9")
    (repository / "tiny" / "notes").mkdir()
    (repository / "tiny" / "010").mkdir()
    assert publish(FolderRepository(repository), ready, triton=None).version == 10
    assert version_numbers(repository / "tiny") == [9, 10]
    assert [path.name for path in model_folders(repository)] == ["tiny"]


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"roi": {"size": [16, 16, 16]}}, "inputs, outputs, ROI"),
        ({"labels": ["liver"]}, "labels"),
        ({"input": {"channels": [{"kind": "heatmap", "sigma": 0.1}] * 6}}, "input channels"),
    ],
)
def test_a_version_with_another_interface_is_refused(
    change: dict[str, Any], expected: str, repository: Path, ready: PreparedModel, mapping: dict[str, Any]
) -> None:
    other = changed(ready, ModelSpec.from_mapping({**mapping, **change}))
    with pytest.raises(FailedPrecondition, match=rf"have other {expected}, .* another --name"):
        publish(FolderRepository(repository), other, triton=None)
    assert version_numbers(repository / "tiny") == [1]


def test_a_folder_that_is_not_a_model_is_left_alone(tmp_path: Path, ready: PreparedModel) -> None:
    (tmp_path / "models" / "tiny").mkdir(parents=True)
    (tmp_path / "models" / "tiny" / "thesis.doc").touch()
    with pytest.raises(FailedPrecondition, match=r"exists but is not a model"):
        publish(FolderRepository(tmp_path / "models"), ready, triton=None)


def test_a_model_with_a_broken_config_is_left_alone(repository: Path, ready: PreparedModel) -> None:
    (repository / "tiny" / "config.pbtxt").write_text("?")
    with pytest.raises(ModelSpecError, match="not a model config"):
        publish(FolderRepository(repository), ready, triton=None)


@pytest.mark.parametrize("name", ["", ".hidden", "a/b", "..", "a b", "-x"])
def test_invalid_model_names_are_refused(name: str, tmp_path: Path, ready: PreparedModel) -> None:
    with pytest.raises(InvalidArgument, match="is not a valid model name"):
        publish(
            FolderRepository(tmp_path / "models"), replace(ready, config=replace(ready.config, name=name)), triton=None
        )
    assert not (tmp_path / "models").exists()


def test_folders_that_are_no_models_are_not_validated(repository: Path) -> None:
    (repository / "lost+found").mkdir(mode=0o700)
    (repository / "__MACOSX" / "tiny").mkdir(parents=True)
    (repository / "__MACOSX" / "tiny" / "._config.pbtxt").write_bytes(b"x")
    (repository / "README.md").write_text("x")
    (repository / "broken" / "1").mkdir(parents=True)
    assert [path.name for path in model_folders(repository)] == ["broken", "tiny"]
