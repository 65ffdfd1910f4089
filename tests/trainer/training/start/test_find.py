"""What may follow ``--init``: a checkpoint, a run, an ONNX file, a version, a model, or a model's name."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch

from exporter.repository.config import ModelConfig
from sixpoint.errors import InvalidArgument
from tests.support.paths import ROOT
from tests.trainer.training.start.models import perturbed_network, small_spec
from trainer.training.checkpoint import publish
from trainer.training.start import find_start, resolve_start

SPEC = small_spec()


@pytest.fixture(scope="module")
def model(exported: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model with the versions 2 and 10."""
    folder = tmp_path_factory.mktemp("repository") / "mine"
    for version in ("2", "10"):
        shutil.copytree(exported, folder / version)
    return folder


def test_the_newest_version_of_a_model_or_the_one_that_is_named(model: Path) -> None:
    newest = find_start(model)
    assert (newest.file, newest.name) == (model / "10" / "model.onnx", "mine, version 10")
    assert newest.spec == SPEC
    for named in (model / "2", model / "2" / "model.onnx"):
        assert find_start(named).name == "mine, version 2"


def test_a_name_is_looked_up_in_the_model_repository(
    model: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(ROOT)
    monkeypatch.delenv("SIXPOINT_TRITON_MODEL_REPOSITORY", raising=False)
    assert find_start(resolve_start("annotation")).name.startswith("annotation, version ")
    with pytest.raises(InvalidArgument, match=r"nothing to start from at mine, and .* and model_repository have no"):
        resolve_start("mine")
    monkeypatch.setenv("SIXPOINT_TRITON_MODEL_REPOSITORY", str(model.parent))
    assert resolve_start("mine") == model / "10" / "model.onnx"
    # Not among those that are served: one that sixpoint ships.
    assert resolve_start("segmentation_hippocampus").is_file()
    # The served model of this name goes first.
    shutil.copytree(model / "2", tmp_path / "served" / "annotation" / "2")
    monkeypatch.setenv("SIXPOINT_TRITON_MODEL_REPOSITORY", str(tmp_path / "served"))
    assert resolve_start("annotation") == tmp_path / "served" / "annotation" / "2" / "model.onnx"
    # What an object store serves is not the model that sixpoint ships.
    monkeypatch.setenv("SIXPOINT_TRITON_MODEL_REPOSITORY", "s3://bucket/models")
    with pytest.raises(InvalidArgument, match=r"models in s3://bucket/models cannot be started from by name"):
        resolve_start("annotation")
    assert resolve_start("model_repository/annotation").is_file()


def test_a_model_that_another_tool_laid_out_is_described_by_its_config(model: Path, tmp_path: Path) -> None:
    shutil.copytree(model / "2", tmp_path / "other" / "1")
    (tmp_path / "other" / "1" / "version.json").unlink()
    assert find_start(tmp_path / "other").spec is None
    (tmp_path / "other" / "config.pbtxt").write_text(ModelConfig.of(SPEC, name="other").to_text())
    start = find_start(tmp_path / "other")
    assert start.spec == SPEC
    assert start.read(SPEC).keys() == find_start(model).read(SPEC).keys()


def test_a_checkpoint_or_the_folder_of_its_run(tmp_path: Path) -> None:
    network = perturbed_network(SPEC)
    publish(tmp_path, network.state_dict(), SPEC)
    for path in (tmp_path, tmp_path / "checkpoint.pt"):
        start = find_start(path)
        assert (start.file, start.spec) == (tmp_path / "checkpoint.pt", SPEC)
        assert all(torch.equal(value, start.read(SPEC)[name]) for name, value in network.state_dict().items())


def test_what_holds_no_weights_is_refused_with_what_to_do(model: Path, tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument, match="holds no weights to start from: expected a checkpoint, the folder of a"):
        find_start(tmp_path)
    (tmp_path / "1").mkdir()
    (tmp_path / "1" / "model.plan").write_bytes(b"plan")
    with pytest.raises(InvalidArgument, match="is a TensorRT plan, whose weights cannot be trained"):
        find_start(tmp_path)
    shutil.copytree(model / "2", tmp_path / "2")
    (tmp_path / "2" / "version.json").write_text("{")
    with pytest.raises(InvalidArgument, match=r"version\.json cannot be read as JSON"):
        find_start(tmp_path)
    (tmp_path / "2" / "version.json").write_text(json.dumps([]))
    assert find_start(tmp_path).spec is None
