"""``--init`` and ``--licence`` of the commands, from a served model to a published one."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner, Result

from exporter.cli import app as exporter
from sixpoint.errors import InvalidArgument
from tests.trainer.conftest import Maker
from tests.trainer.training.start.models import export_version, perturbed_network, small_spec
from trainer.cli import app
from trainer.data.spec_files import read_spec
from trainer.training.checkpoint import CHECKPOINT, SPEC, publish, read_weights
from trainer.training.config import PretrainConfig
from trainer.training.start import describe_origin, find_start

LINES = "wrote RUN/checkpoint.pt; next: exporter export 'RUN/checkpoint.pt'"


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model repository with version 3 of an annotation model whose licence is CC-BY-SA-4.0."""
    folder = tmp_path_factory.mktemp("repository")
    export_version(perturbed_network(small_spec()), small_spec(), folder / "mine" / "3")
    return folder


def run(*arguments: object) -> Result:
    options = ["--steps", "1", "--threads", "1", "--workers", "0"]
    return CliRunner().invoke(app, [*map(str, arguments), *options])


def test_a_served_model_is_improved_and_its_licence_goes_along(
    repository: Path, make_decathlon: Maker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SIXPOINT_TRITON_MODEL_REPOSITORY", str(repository))
    data, out = make_decathlon(cases=2), tmp_path / "my run"
    done = run("train", out, "--data", data, "--task", "annotation", "--init", "mine", "--rate", "0")
    assert done.exit_code == 0, done.output
    assert done.output.splitlines()[0] == f"starting from {repository / 'mine' / '3' / 'model.onnx'}"
    assert "step 1 validating" in done.output
    assert done.output.splitlines()[-2:] == [
        LINES.replace("RUN", str(out)),
        "licence: weights: CC-BY-SA-4.0; data: CC0-1.0",
    ]
    spec = read_spec(out / SPEC)
    assert spec.network == small_spec().network
    assert spec.licence == "weights: CC-BY-SA-4.0; data: CC0-1.0"
    facts = {"started_from": "mine, version 3", "weights_licence": "CC-BY-SA-4.0", "data_licence": "CC0-1.0"}
    assert facts.items() <= spec.provenance.items()
    # Without a rate the weights stay as they came.
    before = perturbed_network(small_spec()).state_dict()
    assert all(torch.equal(value, before[name]) for name, value in read_weights(out / CHECKPOINT).items())

    exported = ["export", str(out / CHECKPOINT), "--name", "better", "--repository", str(tmp_path / "models")]
    assert (result := CliRunner().invoke(exporter, exported)).exit_code == 0, result.output
    record = json.loads((tmp_path / "models" / "better" / "1" / "version.json").read_text())
    assert record["spec"]["licence"] == spec.licence
    assert f"| Licence | {spec.licence} |" in (tmp_path / "models" / "better" / "README.md").read_text()


def test_a_run_is_not_resumed_from_other_weights(repository: Path, make_pairs: Maker, tmp_path: Path) -> None:
    shutil.copytree(repository / "mine", tmp_path / "mine")
    arguments = ("train", tmp_path / "run", "--data", make_pairs(cases=2), "--task", "annotation")
    done = run(*arguments, "--init", tmp_path / "mine")
    assert done.exit_code == 0, done.output
    assert done.output.splitlines()[-2:] == [
        "licence: unknown",
        "the licence of the data (balls) is not stated: state it as licence in dataset.json, or with --licence",
    ]
    for other in ([], ["--init", tmp_path / "run2"]):
        if other:
            shutil.copytree(tmp_path / "run", tmp_path / "run2")
        refused = run(*arguments, *other)
        assert "holds a run with another" in str(refused.exception), refused.output
    again = run(*arguments, "--init", tmp_path / "mine" / "3", "--licence", "CC BY-SA 4.0")
    assert again.exit_code == 0, again.output


def test_pre_training_takes_the_licence_of_its_weights_and_images(
    repository: Path, make_pairs: Maker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def pretrain(config: PretrainConfig, **_: object) -> Path:
        start = find_start(config.init) if config.init else None
        origin = describe_origin(config.spec, start=start, dataset=config.dataset, licence=config.licence)
        publish(tmp_path, {}, config.spec.model_copy(update=origin))
        return tmp_path / CHECKPOINT

    monkeypatch.setattr("trainer.training.annotation.pretrain.pretrain", pretrain)
    data = ("--data", make_pairs(cases=2), "--licence", "MIT")
    done = run("pretrain", tmp_path / "run", "--init", repository / "mine", *data)
    assert done.exit_code == 0, done.output
    assert done.output.splitlines()[-1] == "licence: weights: CC-BY-SA-4.0; data: MIT"


@pytest.mark.parametrize("command", ["train", "pretrain"])
def test_nothing_to_start_from_is_one_sentence(command: str, make_pairs: Maker, tmp_path: Path) -> None:
    data = ("--data", make_pairs(cases=2), "--task", "annotation") if command == "train" else ()
    for init, expected in (
        ("typo", "there is nothing to start from at typo"),
        ("", "the weights to start from are an empty text: expected a checkpoint"),
    ):
        refused = run(command, tmp_path / "run", *data, "--init", init)
        assert isinstance(refused.exception, InvalidArgument)
        assert expected in refused.exception.message


def test_a_segmentation_model_goes_on_with_its_own_network(make_pairs: Maker, tmp_path: Path) -> None:
    root = make_pairs(cases=2)
    first = run("train", tmp_path / "first", "--data", root, "--task", "segmentation", "--licence", "MIT")
    assert first.exit_code == 0, first.output
    (root / "labels.json").write_text('{"1": "shell", "2": "core", "3": "never there"}')
    # Other labels, and images with which an untrained network would have another patch.
    arguments = ("train", tmp_path / "second", "--data", root, "--task", "segmentation")
    second = run(*arguments, "--init", tmp_path / "first", "--licence", "MIT")
    assert second.exit_code == 0, second.output
    before, after = read_spec(tmp_path / "first" / SPEC), read_spec(tmp_path / "second" / SPEC)
    assert after.patch == before.patch
    assert (after.licence, after.output_shape[0]) == ("MIT", 4)
    random = after.provenance["started_at_random"].split(", ")
    assert all("output_block" in name for name in random)
    refused = run("train", tmp_path / "third", "--data", root, "--task", "annotation", "--init", tmp_path / "first")
    assert "the spec is not for annotation" in str(refused.exception)
