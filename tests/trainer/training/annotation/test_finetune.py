"""Fine-tuning the annotation network on labelled images, in miniature."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import trainer
from sixpoint.datasets.manifest import Manifest, ManifestCase, write_manifest
from sixpoint.errors import DatasetError, FailedPrecondition, ModelSpecError
from sixpoint.model_spec import ModelSpec, NetworkSpec, Task
from sixpoint.volume import Volume, write_image
from tests.trainer.conftest import Maker
from trainer.data.datasets import read_dataset
from trainer.data.spec_files import read_spec
from trainer.training.annotation.finetune import finetune
from trainer.training.checkpoint import CHECKPOINT, SPEC
from trainer.training.config import FinetuneConfig
from trainer.training.network import build_network


@pytest.fixture(scope="module")
def spec() -> ModelSpec:
    whole = read_spec(Path(trainer.__file__).with_name("annotation.yaml"))
    assert whole.network is not None
    slim = {**whole.network.arguments, "channels": [4, 8, 8, 8, 8]}
    small = whole.roi.model_copy(update={"size": (32, 32, 32)})
    network = NetworkSpec(name=whole.network.name, arguments=slim)
    return whole.model_copy(update={"network": network, "roi": small, "metrics": {"synthetic_dice": 0.5}})


def tuning(data: Path, out: Path, spec: ModelSpec) -> FinetuneConfig:
    return FinetuneConfig(data=data, out=out, spec=spec, minutes=1e6, steps=2, threads=1, sizes=((32, 2),), workers=0)


def test_the_best_checkpoint_is_measured_on_cases_held_out(spec: ModelSpec, make_pairs: Maker, tmp_path: Path) -> None:
    first = tuning(make_pairs(cases=5), tmp_path / "first", spec)
    assert finetune(first) == tmp_path / "first" / CHECKPOINT
    published = read_spec(tmp_path / "first" / SPEC)
    assert {"dice", "dice_jittered", "dice_ellipsoid"} <= set(published.metrics)
    assert "synthetic_dice" not in published.metrics
    assert published.provenance["trained_on"] == "4 labelled images"
    assert published.provenance["held_out_cases"] == "1"
    parts = json.loads((tmp_path / "first" / "split.json").read_text())
    assert (len(parts["training"]), len(parts["validation"])) == (4, 1)
    build_network(published).load_state_dict(
        torch.load(tmp_path / "first" / CHECKPOINT, weights_only=True)["state_dict"]
    )

    finetune(replace(first, steps=3))
    assert [one["step"] for one in json.loads((tmp_path / "first" / "metrics.json").read_text())] == [2, 3]
    best = max(one["dice"] for one in json.loads((tmp_path / "first" / "metrics.json").read_text()))
    assert read_spec(tmp_path / "first" / SPEC).metrics["dice"] == best

    finetune(replace(first, out=tmp_path / "second", init=tmp_path / "first" / CHECKPOINT, steps=1))
    assert (tmp_path / "second" / CHECKPOINT).exists()
    # The weights to start from are measured first, on the same cases, label by label.
    start, end = json.loads((tmp_path / "second" / "metrics.json").read_text())
    assert (start["step"], end["step"]) == (0, 1)
    assert start["dice"] == best
    assert {"dice_shell", "dice_core"} <= set(start) & set(end)
    second = read_spec(tmp_path / "second" / SPEC)
    assert second.metrics["dice"] == end["dice"]


def test_an_export_says_which_cases_are_held_out_and_what_they_came_from(
    spec: ModelSpec, make_pairs: Maker, tmp_path: Path
) -> None:
    root = make_pairs(cases=4)
    splits = ("training", "training", "validation", "test")
    cases = [
        ManifestCase(f"ball_{number}", split, "", f"id{number}", 1, f"{number}" * 64, {})
        for number, split in enumerate(splits)
    ]
    write_manifest(Manifest("balls", "nnunet", "CT", {"shell": 1, "core": 2}, "accepted", cases), root)
    finetune(replace(tuning(root, tmp_path / "first", spec), steps=1))
    parts = json.loads((tmp_path / "first" / "split.json").read_text())
    assert parts == {"training": ["ball_0", "ball_1"], "validation": ["ball_2"]}
    expected = " ".join(digit * 16 for digit in "012")
    assert read_spec(tmp_path / "first" / SPEC).provenance["annotations"] == expected
    # Who starts from these weights has learnt from the same annotations.
    other = make_pairs(cases=3)
    finetune(replace(tuning(other, tmp_path / "next", spec), steps=1, init=tmp_path / "first" / CHECKPOINT))
    later = read_spec(tmp_path / "next" / SPEC).provenance
    assert later["annotations"] == expected
    assert later["held_out_cases"] == "1"


def test_a_folder_whose_run_had_other_cases_is_refused_and_left_as_it_is(
    spec: ModelSpec, make_pairs: Maker, tmp_path: Path
) -> None:
    root = make_pairs(cases=5)
    first = replace(tuning(root, tmp_path, spec), steps=1)
    finetune(first)
    before = (tmp_path / "split.json").read_bytes()
    parts = json.loads(before)
    (other := tmp_path / "held_out.txt").write_text(parts["training"][0])
    learnt = "set of images to learn from"
    for change, what in (
        (replace(first, steps=2, seed=2), "seed"),
        (replace(first, steps=2, held_out_fraction=0.4), learnt),
        (replace(first, steps=2, held_out=other), learnt),
        (replace(first, steps=2, data=make_pairs(cases=6)), learnt),
    ):
        with pytest.raises(FailedPrecondition, match=f"holds a run with another {what}: choose another folder"):
            finetune(change)
    assert (tmp_path / "split.json").read_bytes() == before

    # A run that was begun before identities were kept goes on.
    last = torch.load(tmp_path / "last.pt", weights_only=True)
    del last["identity"]
    torch.save(last, tmp_path / "last.pt")
    finetune(replace(first, steps=2, seed=2))
    assert "identity" in torch.load(tmp_path / "last.pt", weights_only=True)


def test_nothing_to_outline_is_an_error_at_once(spec: ModelSpec, make_pairs: Maker, tmp_path: Path) -> None:
    root = make_pairs(cases=2)
    for case in read_dataset(root).cases:
        geometry = Volume.read(case.image).geometry
        write_image(np.zeros(geometry.shape, np.uint8), geometry, case.label)
    with pytest.raises(DatasetError, match="no structure large enough"):
        finetune(tuning(root, tmp_path, spec))


def test_a_spec_for_something_else(spec: ModelSpec, make_pairs: Maker, tmp_path: Path) -> None:
    other = spec.model_copy(update={"task": Task.SEGMENTATION})
    with pytest.raises(ModelSpecError, match="not for annotation"):
        finetune(tuning(make_pairs(cases=2), tmp_path, other))
