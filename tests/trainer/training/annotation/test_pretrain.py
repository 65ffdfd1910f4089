"""A training run in miniature: it writes what the exporter reads, and goes on where it was stopped."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

import trainer
from sixpoint.errors import FailedPrecondition, InvalidArgument, ModelSpecError
from sixpoint.model_spec import ModelSpec, NetworkSpec
from trainer.cli import app
from trainer.data import dataloader
from trainer.data.datasets import Case
from trainer.data.spec_files import read_spec
from trainer.simulation.round_settings import RoundSettings
from trainer.training.annotation.pretrain import pretrain
from trainer.training.annotation.pretrain_run import CLICKS
from trainer.training.checkpoint import CHECKPOINT, SPEC
from trainer.training.config import Device, PretrainConfig, PretrainProgress
from trainer.training.network import build_network
from trainer.training.weight_average import WeightAverage

EDGE = 40


@pytest.fixture(scope="module")
def spec() -> ModelSpec:
    whole = read_spec(Path(trainer.__file__).with_name("annotation.yaml"))
    assert whole.network is not None
    slim = {**whole.network.arguments, "channels": [4, 8, 8, 8, 8]}
    network = NetworkSpec(name=whole.network.name, arguments=slim)
    return whole.model_copy(update={"network": network, "metrics": {"dice_points": 0.9}})


@pytest.mark.slow
def test_two_steps_then_two_more(spec: ModelSpec, tmp_path: Path) -> None:
    plan = PretrainConfig(
        spec=spec,
        out=tmp_path,
        steps=2,
        sizes=((32, 2),),
        size_probabilities=(1.0,),
        threads=1,
        workers=0,
        pool_size=1,
        validation_scenes=1,
        scene_edge=EDGE,
        crop_uses=1000.0,
    )
    seen: list[PretrainProgress] = []
    checkpoint = pretrain(plan, report=seen.append)
    assert checkpoint == tmp_path / CHECKPOINT
    stages = [(now.stage, now.step) for now in seen]
    assert stages == [("training", 1), ("training", 2), ("validating", 2), ("training", 2)]
    assert seen[-1].samples_seen in (2, 4)  # a step may be a second round over the same batch
    state = torch.load(checkpoint, weights_only=True)
    build_network(spec).load_state_dict(state["state_dict"])
    published = read_spec(tmp_path / SPEC)
    assert published.network == spec.network
    assert published.input == spec.input
    assert {"synthetic_dice", "synthetic_dice_ellipsoid"} <= set(published.metrics)
    assert "dice_points" not in published.metrics, "a figure of the network that the template describes"
    assert published.provenance["steps"] == "2"

    torch.load(tmp_path / "last.pt", weights_only=True)
    seen.clear()
    pretrain(replace(plan, steps=4), report=seen.append)
    assert [now.step for now in seen if now.stage == "training"] == [3, 4, 4]
    assert [entry["step"] for entry in json.loads((tmp_path / "metrics.json").read_text())] == [2, 4]

    assert spec.network is not None
    wider = NetworkSpec(name="UNet", arguments={**spec.network.arguments, "channels": [8, 8, 8, 8, 8]})
    more = dataloader.LabelledCases((Case("new", tmp_path / "image.nii.gz", tmp_path / "label.nii.gz"),), 0.25)
    for change, what in (
        (replace(plan, steps=6, spec=spec.model_copy(update={"network": wider})), "network"),
        (replace(plan, steps=6, labelled=more), "set of images to learn from"),
    ):
        with pytest.raises(FailedPrecondition, match=f"holds a run with another {what}: choose another folder"):
            pretrain(change)


def test_a_run_with_every_setting_of_its_rounds(spec: ModelSpec, tmp_path: Path) -> None:
    rounds = RoundSettings(overshoot_weight=1.0, corrected_fraction=0.5, extra_clicks=2)
    plan = PretrainConfig(
        spec=spec,
        out=tmp_path,
        steps=4,
        sizes=((32, 2),),
        size_probabilities=(1.0,),
        threads=1,
        workers=0,
        pool_size=1,
        validation_scenes=1,
        scene_edge=EDGE,
        crop_uses=1000.0,
        click_probability=1.0,
        rounds=rounds,
        compact_fraction=1.0,
        jitter_fraction=0.5,
    )
    pretrain(plan)
    (entry,) = json.loads((tmp_path / "metrics.json").read_text())
    assert entry["shown"] == 2, "all steps are rounds over the first batch"
    # What clicks correct and spoil is in the spec, and in full beside it.
    clicks = json.loads((tmp_path / CLICKS).read_text())
    assert clicks["all clicks"]["clicks"] > 0
    assert 0 <= clicks["all clicks"]["corrected within 6 cells"] <= 1
    published = read_spec(tmp_path / SPEC).metrics
    assert published["synthetic_click_overshoot"] == pytest.approx(
        clicks["all clicks"]["overshoot per corrected"], abs=1e-4
    )
    with pytest.raises(FailedPrecondition, match="another setting of the rounds"):
        pretrain(replace(plan, steps=8, rounds=replace(rounds, extra_clicks=3)))


def test_a_start_that_is_none_is_refused_in_one_line(spec: ModelSpec, tmp_path: Path) -> None:
    init = tmp_path / "checkpoint.pt"
    plan = PretrainConfig(spec=spec, out=tmp_path / "run", steps=1, workers=0, init=init)
    init.write_bytes(b"no weights")
    with pytest.raises(InvalidArgument, match="not a checkpoint"):
        pretrain(plan)
    torch.save({"state_dict": {"other": torch.zeros(1)}}, init)
    with pytest.raises(InvalidArgument, match=r"no spec\.yaml beside it"):
        pretrain(plan)
    (tmp_path / SPEC).write_text(json.dumps(spec.model_dump(mode="json")), encoding="utf-8")
    with pytest.raises(InvalidArgument, match="another network"):
        pretrain(plan)


@pytest.mark.slow
def test_batches_from_processes_of_their_own(spec: ModelSpec) -> None:
    feed = dataloader.BatchStream(
        spec=spec, seed=1, sizes=((16, 2),), size_probabilities=(1.0,), pool_size=1, scene_edge=EDGE
    )
    channels, target = next(dataloader.iterate_batches(feed, workers=0))
    assert channels.dtype == torch.float32
    assert channels.shape == (2, 10, 16, 16, 16)
    assert target.shape == (2, 1, 16, 16, 16)
    there = dataloader.iterate_batches(feed, workers=2)
    # The first process does what one alone would do, on every other scene; the second one does something else.
    assert torch.equal(next(there)[1], target)
    assert not torch.equal(next(there)[1], target)
    assert not torch.equal(next(dataloader.iterate_batches(replace(feed, samples_seen=2), workers=0))[1], target)


def test_samples_that_come_back(spec: ModelSpec, tmp_path: Path) -> None:
    plan = PretrainConfig(
        spec=spec,
        out=tmp_path,
        steps=4,
        sizes=((32, 2),),
        size_probabilities=(1.0,),
        threads=1,
        workers=0,
        batch_uses=3,
        click_probability=0.0,
        pool_size=1,
        validation_scenes=1,
        scene_edge=EDGE,
    )
    seen: list[PretrainProgress] = []
    pretrain(plan, report=seen.append)
    assert [now.samples_seen for now in seen if now.stage == "training"] == [2, 4, 6, 8, 8]


def test_a_gpu_that_is_not_there(spec: ModelSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(InvalidArgument, match="no GPU"):
        pretrain(PretrainConfig(spec=spec, out=tmp_path, device=Device.CUDA))


def test_a_step_whose_gradients_are_not_finite_is_left_out(
    spec: ModelSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def poisoned(feed: dataloader.BatchStream, *, workers: int, pinned: bool) -> Iterator[dataloader.Batch]:
        while True:
            yield torch.full((2, 10, 32, 32, 32), torch.nan), torch.zeros(2, 1, 32, 32, 32)

    monkeypatch.setattr("trainer.training.annotation.pretrain.iterate_batches", poisoned)
    plan = PretrainConfig(spec=spec, out=tmp_path, steps=2, threads=1, workers=0, validation_scenes=1, scene_edge=EDGE)
    state = torch.load(pretrain(plan), weights_only=True)["state_dict"]
    assert all(value.isfinite().all() for value in state.values())


def test_the_average_follows_the_weights() -> None:
    network = torch.nn.Linear(2, 1)
    average = WeightAverage(network, decay=0.5)
    start = average.state["weight"].clone()
    with torch.no_grad():
        network.weight += 1.0
    average.update(network, step=1000)
    assert torch.allclose(average.state["weight"], start + 0.5)


@pytest.mark.parametrize(
    "network",
    [None, NetworkSpec(name="NoSuchNet"), NetworkSpec(name="UNet", arguments={"colour": "red"})],
    ids=["none", "unknown", "arguments"],
)
def test_a_network_that_cannot_be_built(spec: ModelSpec, network: NetworkSpec | None) -> None:
    with pytest.raises(ModelSpecError):
        build_network(spec.model_copy(update={"network": network}))


def test_a_spec_that_is_not_yaml(tmp_path: Path) -> None:
    path = tmp_path / "spec.yaml"
    path.write_text("a: [", encoding="utf-8")
    with pytest.raises(ModelSpecError, match="YAML"):
        read_spec(path)


def test_the_sheet_is_a_picture(tmp_path: Path) -> None:
    path = tmp_path / "sheet.png"
    result = CliRunner().invoke(app, ["samples", str(path), "--rows", "1", "--columns", "3"])
    assert result.exit_code == 0, result.output
    with Image.open(path) as picture:
        assert picture.size == (3 * 128, 128)
