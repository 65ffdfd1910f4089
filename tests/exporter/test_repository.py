"""Publishing: all of it or nothing, whenever it is interrupted."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from exporter import repository as module
from exporter.model_config import ModelConfig
from exporter.repository import models, publish, versions
from exporter.validate import validate
from sixpoint.errors import FailedPrecondition, InvalidArgument, ModelSpecError
from sixpoint.spec import ModelSpec


class Crash(BaseException):
    """The process is gone: nothing may catch this."""


def crash_at(step: int, monkeypatch: pytest.MonkeyPatch) -> Callable[[], int]:
    """Crash before the given call that changes the disk; returns a counter of the calls so far."""
    count = 0

    def wrap(function: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(*arguments: Any, **options: Any) -> Any:
            nonlocal count
            count += 1
            if count == step:
                raise Crash
            return function(*arguments, **options)

        return wrapped

    for name in ("mkdir", "write_text", "rename", "replace"):
        monkeypatch.setattr(Path, name, wrap(getattr(Path, name)))
    monkeypatch.setattr(module.shutil, "copyfile", wrap(module.shutil.copyfile))
    monkeypatch.setattr(module.os, "fsync", wrap(module.os.fsync))
    return lambda: count


@pytest.fixture
def config(spec: ModelSpec) -> ModelConfig:
    return ModelConfig.of(spec.model_copy(update={"title": "The next"}), name="tiny")


@pytest.mark.parametrize("new", [True, False], ids=["new model", "next version"])
def test_a_crash_at_any_step_leaves_a_valid_repository(
    new: bool, exported: Path, repository: Path, config: ModelConfig, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    source = exported / "tiny" / "1" / "model.onnx"
    target = tmp_path / "new" if new else repository
    step = crashes = 0
    while True:
        step += 1
        before = versions(target / "tiny") if (target / "tiny").is_dir() else []
        with monkeypatch.context() as patch:
            calls = crash_at(step, patch)
            try:
                publish(source, config, repository=target)
            except Crash:
                crashes += 1
            else:
                assert calls() < step
                break
        if not target.is_dir():
            continue
        assert [problem for report in validate(target) for problem in report.problems] == []
        after = versions(target / "tiny") if (target / "tiny").is_dir() else []
        assert len(after) - len(before) in (0, 1)
    assert crashes > 8
    assert not list(target.rglob(".tmp-*"))  # what the crashes left, the last export removed
    assert [report.problems for report in validate(target)] == [()]
    assert ModelConfig.read(target / "tiny").spec == config.spec


def test_versions_count_up_from_the_highest(exported: Path, repository: Path, config: ModelConfig) -> None:
    (repository / "tiny" / "1").rename(repository / "tiny" / "9")
    (repository / "tiny" / "notes").mkdir()
    (repository / "tiny" / "010").mkdir()
    assert publish(exported / "tiny" / "1" / "model.onnx", config, repository=repository).name == "10"
    assert versions(repository / "tiny") == [9, 10]
    assert [path.name for path in models(repository)] == ["tiny"]


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"roi": {"size": [16, 16, 16]}}, "inputs, outputs, ROI"),
        ({"labels": ["liver"]}, "labels"),
        ({"input": {"channels": [{"kind": "heatmap", "sigma": 0.1}] * 6}}, "input channels"),
    ],
)
def test_a_version_that_the_config_of_the_others_would_not_fit_is_refused(
    change: dict[str, Any], expected: str, exported: Path, repository: Path, mapping: dict[str, Any]
) -> None:
    config = ModelConfig.of(ModelSpec.from_mapping({**mapping, **change}), name="tiny")
    with pytest.raises(FailedPrecondition, match=rf"have other {expected}, .* another --name"):
        publish(exported / "tiny" / "1" / "model.onnx", config, repository=repository)
    assert versions(repository / "tiny") == [1]


def test_two_exports_do_not_mix(exported: Path, repository: Path, config: ModelConfig) -> None:
    descriptor = os.open(repository, os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    try:
        with pytest.raises(FailedPrecondition, match="another export is writing"):
            publish(exported / "tiny" / "1" / "model.onnx", config, repository=repository)
    finally:
        os.close(descriptor)


def test_a_folder_that_is_no_model_is_left_alone(exported: Path, tmp_path: Path, config: ModelConfig) -> None:
    (tmp_path / "tiny").mkdir()
    (tmp_path / "tiny" / "thesis.doc").touch()
    with pytest.raises(FailedPrecondition, match=r"in the way: it is no model"):
        publish(exported / "tiny" / "1" / "model.onnx", config, repository=tmp_path)


def test_a_model_with_a_broken_config_is_left_alone(exported: Path, repository: Path, config: ModelConfig) -> None:
    (repository / "tiny" / "config.pbtxt").write_text("?")
    with pytest.raises(ModelSpecError, match="no model config"):
        publish(exported / "tiny" / "1" / "model.onnx", config, repository=repository)


@pytest.mark.parametrize("name", ["", ".hidden", "a/b", "..", "a b", "-x"])
def test_names_that_are_no_folders_of_a_model_are_refused(
    name: str, exported: Path, tmp_path: Path, spec: ModelSpec
) -> None:
    with pytest.raises(InvalidArgument, match="cannot name a model"):
        publish(exported / "tiny" / "1" / "model.onnx", ModelConfig.of(spec, name=name), repository=tmp_path)
    assert list(tmp_path.iterdir()) == []
