"""A segmentation run first measures what it starts from, or is compared with, on the same held-out cases."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

import sixpoint
from sixpoint.errors import InvalidArgument
from sixpoint.volume import write_image
from tests.support.paths import ROOT
from tests.trainer.conftest import Maker
from tests.trainer.training.test_train import TEMPLATE, plan
from trainer.cli import app
from trainer.data.spec_files import read_spec
from trainer.training.checkpoint import CHECKPOINT, SPEC
from trainer.training.train import train


@pytest.fixture(scope="module")
def data(make_pairs: Maker) -> Path:
    return make_pairs(cases=5)


@pytest.fixture(scope="module")
def whole(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of four steps."""
    out = tmp_path_factory.mktemp("runs") / "balls"
    train(plan(data, out))
    return out


def test_a_run_first_measures_the_model_that_it_starts_from(whole: Path, data: Path, tmp_path: Path) -> None:
    train(plan(data, tmp_path / "run", init=whole / CHECKPOINT, learning_rate=0.0))
    first, *trained = json.loads((tmp_path / "run" / "metrics.json").read_text())
    # The same weights on the same cases: what the earlier run measured, and what nothing learnt measures again.
    measured = read_spec(whole / SPEC).metrics
    assert first.pop("minutes") >= 0
    assert first == {"step": 0, **measured}
    assert [entry["step"] for entry in trained] == [2, 4]
    assert all({name: entry[name] for name in measured} == measured for entry in trained)
    assert read_spec(tmp_path / "run" / SPEC).metrics == measured
    assert not list((tmp_path / "run").glob("cases-*"))


def test_a_run_from_nothing_measures_the_model_that_it_is_compared_with(
    whole: Path, make_pairs: Maker, tmp_path: Path
) -> None:
    root = make_pairs(cases=5)
    # The same cases, whose labels have other numbers, in a patch of another size.
    (root / "labels.json").write_text('{"1": "core", "2": "shell"}')
    for path in (root / "labels").iterdir():
        volume = sixpoint.Volume.read(path)
        write_image(np.array([0, 2, 1], np.uint8)[volume.array.astype(int)], volume.geometry, path)
    other = {**TEMPLATE, "patch": {"size": [24, 24, 24], "overlap": 0.0}}
    train(replace(plan(root, tmp_path / "run", reference=whole / CHECKPOINT, steps=1), template=other))
    first = json.loads((tmp_path / "run" / "metrics.json").read_text())[0]
    assert {name: first[name] for name in ("step", *read_spec(whole / SPEC).metrics)} == {
        "step": 0,
        **read_spec(whole / SPEC).metrics,
    }
    assert "started_from_sha256" not in read_spec(tmp_path / "run" / SPEC).provenance
    assert not list((tmp_path / "run").glob("cases-*"))


def test_a_model_of_another_kind_is_not_measured_beside_a_segmentation(data: Path, tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument, match="expected a model of task segmentation"):
        train(plan(data, tmp_path, reference=ROOT / "model_repository" / "annotation", steps=1))


def test_what_replaces_a_model_sees_images_as_it_does(whole: Path, data: Path, tmp_path: Path) -> None:
    arguments = ["train", tmp_path / "run", "--data", data, "--task", "segmentation", "--reference", whole]
    options = ["--steps", 1, "--every", 1, "--batch", 1, "--threads", 1, "--workers", 0]
    result = CliRunner().invoke(app, [str(argument) for argument in (*arguments, *options)])
    assert result.exit_code == 0, result.output
    made, beside = read_spec(tmp_path / "run" / SPEC), read_spec(whole / SPEC)
    assert (made.patch, made.network) == (beside.patch, beside.network)
    assert "started_from_sha256" not in made.provenance
