"""Fine-tuning the annotation network on labelled images, in miniature."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from sixpoint.errors import DatasetError, ModelSpecError
from sixpoint.spec import ModelSpec, NetworkSpec, Task
from sixpoint.volume import Volume, write_image
from tests.trainer.conftest import Maker
from trainer import feeding
from trainer.datasets import read_dataset
from trainer.finetune import Tuning, finetune
from trainer.network import build, read_spec
from trainer.pretrain import CHECKPOINT, SPEC


@pytest.fixture(scope="module")
def spec() -> ModelSpec:
    whole = read_spec(Path(feeding.__file__).with_name("annotation.yaml"))
    assert whole.network is not None
    slim = {**whole.network.arguments, "channels": [4, 8, 8, 8, 8]}
    small = whole.roi.model_copy(update={"size": (32, 32, 32)})
    network = NetworkSpec(name=whole.network.name, arguments=slim)
    return whole.model_copy(update={"network": network, "roi": small, "metrics": {"synthetic_dice": 0.5}})


def tuning(data: Path, out: Path, spec: ModelSpec) -> Tuning:
    return Tuning(data=data, out=out, spec=spec, minutes=1e6, steps=2, threads=1, sizes=((32, 2),), workers=0)


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
    build(published).load_state_dict(torch.load(tmp_path / "first" / CHECKPOINT, weights_only=True)["state_dict"])

    finetune(replace(first, steps=3))
    assert [one["step"] for one in json.loads((tmp_path / "first" / "metrics.json").read_text())] == [2, 3]
    best = max(one["dice"] for one in json.loads((tmp_path / "first" / "metrics.json").read_text()))
    assert read_spec(tmp_path / "first" / SPEC).metrics["dice"] == best

    finetune(replace(first, out=tmp_path / "second", init=tmp_path / "first" / CHECKPOINT, steps=1))
    assert (tmp_path / "second" / CHECKPOINT).exists()


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
