"""All of a run's minutes count: set-up, training and validation. The run ends when they are spent."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import trainer
from tests.trainer.conftest import Maker
from tests.trainer.training.start.models import small_spec
from trainer.data.spec_files import read_spec, read_spec_mapping
from trainer.training import train as segmentation
from trainer.training.annotation import pretrain_run
from trainer.training.annotation.finetune import finetune
from trainer.training.annotation.pretrain import pretrain
from trainer.training.annotation.pretrain_run import PretrainRun
from trainer.training.checkpoint import SPEC
from trainer.training.config import FinetuneConfig, PretrainConfig, TrainConfig
from trainer.training.start import describe_origin
from trainer.training.train import train
from trainer.training.validation import validate

TEMPLATE = read_spec_mapping(Path(trainer.__file__).with_name("segmentation.yaml"))
TEMPLATE["network"]["arguments"]["filters"] = [8, 8, 8]
TEMPLATE["patch"] = {"size": [16, 16, 16], "overlap": 0.0}


class Clock:
    """A clock that stands still unless a test moves it."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now

    def taking(self, work: Callable[..., Any], seconds: Callable[..., float]) -> Callable[..., Any]:
        """Let work take time by this clock."""

        def timed(*args: Any, **kwargs: Any) -> Any:
            self.now += seconds(*args)
            return work(*args, **kwargs)

        return timed


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """A step takes 1 s; a validation 30 s, in proportion to its samples or cases."""
    clock = Clock()
    for module in (pretrain_run, segmentation):
        monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=clock.monotonic))
    monkeypatch.setattr(PretrainRun, "_step", clock.taking(PretrainRun._step, lambda *_: 1.0))
    seconds = clock.taking(validate, lambda _, samples: 30.0 * len(samples.exact) / 8)
    monkeypatch.setattr(pretrain_run, "validate", seconds)
    # The SHA-256 of the dataset.
    digests = clock.taking(describe_origin, lambda *_: 10.0)
    monkeypatch.setattr(segmentation, "describe_origin", digests)
    run = segmentation._Run
    monkeypatch.setattr(run, "_step", clock.taking(run._step, lambda *_: 1.0))
    monkeypatch.setattr(run, "_validate", clock.taking(run._validate, lambda _, cases: 15.0 * len(cases)))
    return clock


def small_run(out: Path, minutes: float, **changes: Any) -> PretrainConfig:
    values: dict[str, Any] = {"pool_size": 1, "validation_scenes": 1, "scene_edge": 40, "crop_uses": 1000.0}
    sizes: Any = {"sizes": ((32, 1),), "size_probabilities": (1.0,)}
    return PretrainConfig(
        spec=small_spec(), out=out, minutes=minutes, threads=1, workers=0, **(values | sizes | changes)
    )


def test_pre_training_ends_with_its_minutes(clock: Clock, tmp_path: Path) -> None:
    # Set-up takes 20 s, the estimate half a validation, the last validation a whole one.
    seen: list[tuple[str, float, float]] = []
    started = clock.now - 20.0
    pretrain(
        small_run(tmp_path, 1.5),
        report=lambda progress: seen.append((progress.stage, progress.elapsed_s, progress.fraction)),
        started=started,
    )
    assert 89.0 <= clock.now - started <= 91.0
    stages = [stage for stage, _, _ in seen]
    assert stages[-2:] == ["validating", "training"]
    assert stages.count("validating") == 1
    assert seen[0][1] == 20.0 + 15.0 + 1.0
    assert seen[-1][1] == clock.now - started
    assert seen[-1][2] == 1.0
    assert read_spec(tmp_path / SPEC).provenance["minutes"] == f"{(clock.now - started) / 60:.1f}"


def test_a_budget_that_is_too_short_for_a_validation_still_gives_one_step(clock: Clock, tmp_path: Path) -> None:
    pretrain(small_run(tmp_path, 0.1), started=clock.now)
    assert read_spec(tmp_path / SPEC).provenance["steps"] == "1"


def test_reading_the_images_counts(clock: Clock, make_pairs: Maker, tmp_path: Path) -> None:
    config = FinetuneConfig(
        data=make_pairs(cases=2), out=tmp_path, spec=small_spec(), minutes=2.0, threads=1, sizes=((32, 1),), workers=0
    )
    started = clock.now - 60.0
    elapsed: list[float] = []
    finetune(config, report=lambda progress: elapsed.append(progress.elapsed_s), started=started)
    assert elapsed[0] > 60.0
    assert clock.now - started <= 121.0


def test_a_segmentation_run_ends_with_its_minutes(clock: Clock, make_pairs: Maker, tmp_path: Path) -> None:
    config = TrainConfig(
        data=make_pairs(cases=5),
        out=tmp_path,
        template=TEMPLATE,
        minutes=2.0,
        held_out_fraction=0.4,
        validation_interval=1000,
        threads=1,
        workers=0,
    )
    seen: list[str] = []
    started = clock.now - 20.0
    train(config, report=lambda progress: seen.append(progress.stage), started=started)
    assert 119.0 <= clock.now - started <= 121.0
    assert seen[-2:] == ["validating", "training"]
    assert read_spec(tmp_path / SPEC).provenance["minutes"] == "2.0"
