"""Training in miniature: what a run leaves behind, that it goes on after a kill, and that its result is served."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from lightning_fabric import Fabric
from PIL import Image
from tritonclient import grpc as triton_grpc
from typer.testing import CliRunner

import sixpoint
import trainer
from exporter.cli import app as exporter
from exporter.graph.network import ProbabilityNetwork
from exporter.parity.inputs import synthetic_batch
from sixpoint.cli import app as sixpoint_cli
from sixpoint.errors import DatasetError, FailedPrecondition, InvalidArgument, TaskNotSupported
from tests.support.images import noisy_volume
from tests.support.paths import ROOT, TRITON_ENVIRONMENT
from tests.support.servers import running_gateway, running_triton
from tests.trainer.conftest import Maker
from trainer.cli import app
from trainer.data.spec_files import read_spec, read_spec_mapping
from trainer.training.checkpoint import CHECKPOINT, SPEC
from trainer.training.config import ComputePrecision, TrainConfig, TrainProgress
from trainer.training.figure_names import figure_names
from trainer.training.network import build_network
from trainer.training.train import train

TEMPLATE = read_spec_mapping(Path(trainer.__file__).with_name("segmentation.yaml"))
TEMPLATE["network"]["arguments"]["filters"] = [8, 8, 8]
TEMPLATE["patch"] = {"size": [16, 16, 16], "overlap": 0.0}


@pytest.fixture(scope="module")
def data(make_pairs: Maker) -> Path:
    return make_pairs(cases=5)


def plan(data: Path, out: Path, **changes: Any) -> TrainConfig:
    values: dict[str, Any] = {
        "steps": 4,
        "validation_interval": 2,
        "threads": 1,
        "workers": 0,
        "precision": ComputePrecision.SINGLE,
    }
    return TrainConfig(data=data, out=out, template=TEMPLATE, **(values | changes))


@pytest.fixture(scope="module")
def whole(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of four steps, never interrupted."""
    out = tmp_path_factory.mktemp("runs") / "balls"
    train(plan(data, out))
    return out


class Stopped(Exception):
    """A run is interrupted."""


def stop_after(step: int) -> Callable[[TrainProgress], None]:
    def stop(now: TrainProgress) -> None:
        if now.step == step:
            raise Stopped

    return stop


def weights(out: Path) -> dict[str, torch.Tensor]:
    state: dict[str, torch.Tensor] = torch.load(out / "last.pt", weights_only=True)["average"]
    return state


def test_a_run_leaves_what_the_exporter_and_people_need(whole: Path) -> None:
    left = {path.name for path in whole.iterdir()}
    assert left == {
        "checkpoint.pt",
        "spec.yaml",
        "metrics.json",
        "curves.png",
        "split.json",
        "fingerprint.json",
        "last.pt",
        "tensorboard",
    }
    spec = read_spec(whole / SPEC)
    assert spec.labels == ("shell", "core")
    assert set(spec.metrics) == {"dice", "dice_shell", "dice_core"}
    facts = {"dataset": "balls", "data_licence": "unknown", "training_cases": "4", "held_out_cases": "1"}
    assert (facts | {"seed": "1", "mirrored": "no"}).items() <= spec.provenance.items()
    build_network(spec).load_state_dict(torch.load(whole / CHECKPOINT, weights_only=True)["state_dict"])
    history = json.loads((whole / "metrics.json").read_text())
    assert [entry["step"] for entry in history] == [2, 4]
    assert max(entry["dice"] for entry in history) == spec.metrics["dice"]
    parts = json.loads((whole / "split.json").read_text())
    assert (len(parts["training"]), len(parts["validation"])) == (4, 1)
    with Image.open(whole / "curves.png") as picture:
        assert picture.width > picture.height > 300


@pytest.mark.parametrize(
    ("labels", "names"),
    [
        (("Left Lung", "core"), ["dice_left_lung", "dice_core"]),
        (("肝臓", "脾臓"), ["dice_肝臓", "dice_脾臓"]),
        (("Tumour +", "Tumour -"), ["dice_tumour", "dice_tumour_2"]),
        (("+", "-"), ["dice_1", "dice_2"]),
        (("tumour 3", "tumour", "Tumour"), ["dice_tumour_3", "dice_tumour", "dice_tumour_3_3"]),
    ],
)
def test_every_label_has_a_figure_of_its_own(labels: tuple[str, ...], names: list[str]) -> None:
    assert figure_names(labels) == names


def test_the_mean_is_over_all_labels_whatever_they_are_called(make_pairs: Maker, tmp_path: Path) -> None:
    root = make_pairs(cases=2)
    (root / "labels.json").write_text('{"1": "Tumour +", "2": "Tumour -"}')
    train(plan(root, tmp_path, steps=1))
    figures = read_spec(tmp_path / SPEC).metrics
    assert set(figures) == {"dice", "dice_tumour", "dice_tumour_2"}
    assert figures["dice"] == pytest.approx((figures["dice_tumour"] + figures["dice_tumour_2"]) / 2, abs=1e-4)


def test_a_run_in_two_parts_ends_as_in_one(whole: Path, data: Path, tmp_path: Path) -> None:
    with pytest.raises(Stopped):
        train(plan(data, tmp_path, save_interval_s=0.0), report=stop_after(3))
    seen: list[TrainProgress] = []
    train(plan(data, tmp_path), report=seen.append)
    assert [now.step for now in seen if now.stage == "training"] == [4]
    assert all(torch.equal(value, weights(tmp_path)[name]) for name, value in weights(whole).items())
    assert read_spec(tmp_path / SPEC).metrics == read_spec(whole / SPEC).metrics
    assert json.loads((tmp_path / "metrics.json").read_text())[-1]["step"] == 4


def test_a_run_that_resumes_with_its_budget_spent_still_validates_what_it_learned(data: Path, tmp_path: Path) -> None:
    with pytest.raises(Stopped):
        train(plan(data, tmp_path, validation_interval=100, save_interval_s=0.0), report=stop_after(3))
    assert not (tmp_path / CHECKPOINT).exists()
    assert train(plan(data, tmp_path, steps=3)).is_file()
    assert [entry["step"] for entry in json.loads((tmp_path / "metrics.json").read_text())] == [3]
    assert read_spec(tmp_path / SPEC).provenance["steps"] == "3"
    seen: list[TrainProgress] = []
    train(plan(data, tmp_path, steps=3), report=seen.append)
    assert seen == []


def test_a_case_that_changed_before_a_run_is_resumed_is_named(make_pairs: Maker, tmp_path: Path) -> None:
    root = make_pairs(cases=2)
    with pytest.raises(Stopped):
        train(plan(root, tmp_path, save_interval_s=0.0), report=stop_after(1))
    shutil.copy(root / "labels" / "ball_0.nii.gz", root / "labels" / "ball_1.nii.gz")
    seen: list[TrainProgress] = []
    train(plan(root, tmp_path), report=seen.append)
    assert [now.note for now in seen if now.note] == ["preparing ball_1 again: its files changed"]


def test_a_finished_run_is_left_alone(whole: Path, data: Path, tmp_path: Path) -> None:
    shutil.copytree(whole, tmp_path / "run")
    before = (tmp_path / "run" / CHECKPOINT).stat().st_mtime_ns
    seen: list[TrainProgress] = []
    assert train(plan(data, tmp_path / "run"), report=seen.append) == tmp_path / "run" / CHECKPOINT
    assert seen == []
    assert (tmp_path / "run" / CHECKPOINT).stat().st_mtime_ns == before


@pytest.mark.slow
def test_a_killed_run_goes_on_and_ends_as_it_would_have(whole: Path, data: Path, tmp_path: Path) -> None:
    program = f"""
from pathlib import Path
from tests.trainer.training.test_train import plan, train
train(plan(Path({str(data)!r}), Path({str(tmp_path)!r}), steps=100000, save_interval_s=0.0))
"""
    with subprocess.Popen([sys.executable, "-c", program], cwd=ROOT) as process:
        deadline = time.monotonic() + 120
        while not (tmp_path / "last.pt").exists() and time.monotonic() < deadline and process.poll() is None:
            time.sleep(0.005)
        os.kill(process.pid, signal.SIGKILL)
    step = torch.load(tmp_path / "last.pt", weights_only=True)["counters"]["step"]
    assert 1 <= step < 100000
    # The rates of a run follow its budget of steps: this one had another until it was killed.
    train(plan(data, tmp_path, steps=step + 2))
    assert torch.load(tmp_path / "last.pt", weights_only=True)["counters"]["step"] == step + 2
    history = [entry["step"] for entry in json.loads((tmp_path / "metrics.json").read_text())]
    assert history == sorted(set(history))
    assert history[-1] == step + 2
    assert not list(tmp_path.glob("cases-*"))


def test_a_run_whose_patience_is_spent_ends(data: Path, tmp_path: Path) -> None:
    # Without a rate nothing gets better.
    train(plan(data, tmp_path, steps=50, validation_interval=1, learning_rate=0.0, patience=2))
    history = json.loads((tmp_path / "metrics.json").read_text())
    assert len(history) < 10
    assert history[-1]["dice"] <= max(entry["dice"] for entry in history)


def test_the_folder_of_another_run_is_refused(whole: Path, data: Path, make_pairs: Maker) -> None:
    before = (whole / "split.json").read_bytes()
    for change, what in (({"seed": 2}, "split"), ({"batch_size": 3}, "batch size"), ({"mirror": True}, "mirroring")):
        with pytest.raises(FailedPrecondition, match=f"holds a run with another {what}"):
            train(plan(data, whole, **change))
        assert (whole / "split.json").read_bytes() == before
    with pytest.raises(FailedPrecondition, match="holds a run on other cases"):
        train(plan(make_pairs(cases=3), whole))
    names = (data / "labels.json").read_text()
    try:
        (data / "labels.json").write_text('{"1": "core", "2": "shell"}')
        with pytest.raises(FailedPrecondition, match="holds a run with other names of the labels"):
            train(plan(data, whole))
    finally:
        (data / "labels.json").write_text(names)
    train(replace(plan(data, whole)))  # it is as it was


def test_a_run_that_kept_no_mirroring_goes_on(whole: Path, data: Path, tmp_path: Path) -> None:
    shutil.copytree(whole, tmp_path / "run")
    last = torch.load(tmp_path / "run" / "last.pt", weights_only=True)
    del last["identity"]["mirroring"]
    torch.save(last, tmp_path / "run" / "last.pt")
    published = train(plan(data, tmp_path / "run", mirror=True))
    assert published == tmp_path / "run" / "checkpoint.pt"


def test_of_several_processes_only_the_first_writes_the_split(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Fabric, "is_global_zero", property(lambda _: False))
    train(plan(data, tmp_path, steps=1))
    assert not (tmp_path / "split.json").exists()


def test_a_run_starts_from_a_checkpoint_with_other_labels(whole: Path, make_pairs: Maker, tmp_path: Path) -> None:
    root = make_pairs(cases=2)
    (root / "labels.json").write_text('{"1": "shell", "2": "core", "3": "never there"}')
    train(plan(root, tmp_path / "run", init=whole / CHECKPOINT, steps=1))
    spec = read_spec(tmp_path / "run" / SPEC)
    assert len(spec.provenance["started_from_sha256"]) == 64
    assert spec.output_shape[0] == 4
    (tmp_path / "other.pt").write_bytes(b"nonsense")
    with pytest.raises(InvalidArgument, match="is not a checkpoint"):
        train(plan(root, tmp_path / "second", init=tmp_path / "other.pt"))
    torch.save({"state_dict": {"weight": torch.zeros(1)}}, tmp_path / "other.pt")
    with pytest.raises(InvalidArgument, match=r"is of another network: 0 of \d+ tensors match"):
        train(plan(root, tmp_path / "second", init=tmp_path / "other.pt"))


def test_the_command_trains_and_says_what_is_next(make_decathlon: Maker, tmp_path: Path) -> None:
    root = make_decathlon(cases=3, modality="CT")
    (tmp_path / "spec.yaml").write_text(json.dumps(TEMPLATE))
    arguments = ["train", tmp_path / "run", "--data", root, "--task", "segmentation", "--spec", tmp_path / "spec.yaml"]
    options = ["--steps", 2, "--every", 1, "--batch", 1, "--threads", 1, "--workers", 0, "--mirror"]
    result = CliRunner().invoke(app, [str(one) for one in (*arguments, *options)])
    assert result.exit_code == 0, result.output
    assert "exporter export" in result.output
    assert "dice core" in result.output
    spec = read_spec(tmp_path / "run" / SPEC)
    assert spec.provenance["data_licence"] == "CC0-1.0"
    assert spec.modalities == ("CT",)
    assert spec.provenance["mirrored"] == "yes"


def test_a_bad_dataset_ends_the_command_with_its_error(tmp_path: Path) -> None:
    result = CliRunner().invoke(
        app, ["train", str(tmp_path / "run"), "--data", str(tmp_path), "--task", "segmentation"]
    )
    assert isinstance(result.exception, DatasetError)


@pytest.mark.skipif(not TRITON_ENVIRONMENT.is_dir(), reason="Triton is not installed: make triton")
@pytest.mark.triton
def test_the_best_checkpoint_is_served_and_answers_as_pytorch(whole: Path, tmp_path: Path) -> None:
    repository = tmp_path / "model_repository"
    result = CliRunner().invoke(exporter, ["export", str(whole / CHECKPOINT), "--repository", str(repository)])
    assert result.exit_code == 0, result.output
    spec = read_spec(whole / SPEC)
    network = build_network(spec)
    network.load_state_dict(torch.load(whole / CHECKPOINT, weights_only=True)["state_dict"])
    batch = synthetic_batch(spec, 2)
    with torch.inference_mode():
        expected = ProbabilityNetwork(network, spec).eval()(torch.from_numpy(batch)).numpy()
    with running_triton(repository) as triton, running_gateway(triton_url=triton.address) as gateway:
        with triton_grpc.InferenceServerClient(triton.address) as client:
            tensor = triton_grpc.InferInput("INPUT", list(batch.shape), "FP16")
            tensor.set_data_from_numpy(batch)
            found = client.infer("balls", [tensor]).as_numpy("PROBABILITY")
        assert found is not None
        assert found.shape == (2, 3, 16, 16, 16)
        assert np.abs(found.astype(int) - expected).max() <= 1  # a rounding

        address = f"127.0.0.1:{gateway.port}"
        listed = CliRunner().invoke(sixpoint_cli, ["models", "--server", address])
        assert "balls  1        none " in listed.output
        with sixpoint.Client(address) as client:
            (model,) = client.models(task="segmentation")
            assert (model.name, model.labels, model.prompts) == ("balls", ("shell", "core"), ())
            with pytest.raises(TaskNotSupported, match="'balls' takes no prompts"):
                client.open_session(noisy_volume(), model="balls")
