"""Tuning: the choice from measurements, and that the chosen setting serves."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from exporter.publishing.publish import publish
from exporter.publishing.tune import Measurement, best_batches, best_instances
from exporter.repository.config import ExecutionConfig, ModelConfig
from exporter.repository.folder import FolderRepository
from exporter.repository.validate import validate
from tests.exporter.command_line import run
from tests.exporter.publish_helpers import asking, prepared_model
from tests.support.paths import TRITON_ENVIRONMENT
from tests.support.servers import running_triton


def batches(*seconds: float) -> list[Measurement]:
    return [Measurement(2**power, 1, 1, one, 2**power / one) for power, one in enumerate(seconds)]


@pytest.mark.parametrize(
    ("seconds", "latency", "expected"),
    [
        ((0.1, 0.2, 0.4), 1.0, ((1,), 0)),  # no gain: a batch of two takes twice as long
        ((0.1, 0.11, 0.12), 1.12, ((2, 4), 100_000)),
        ((0.1, 0.11, 0.12), 0.11, ((2,), 0)),  # the larger batch exceeds the budget
    ],
)
def test_batches_are_preferred_where_they_gain(
    seconds: tuple[float, ...], latency: float, expected: tuple[tuple[int, ...], int]
) -> None:
    assert best_batches(batches(*seconds), latency=latency) == expected


def test_the_smallest_number_of_good_instances_is_chosen() -> None:
    measured = [Measurement(1, 1, 4, 0.4, 10.0), Measurement(1, 2, 4, 0.2, 20.0), Measurement(1, 3, 4, 0.2, 21.0)]
    assert best_instances(measured, latency=1.0) == 2
    assert best_instances(measured[:1], latency=0.1) == 1


@pytest.mark.triton
def test_the_best_setting_serves_without_a_gap(tmp_path: Path) -> None:
    if not TRITON_ENVIRONMENT.is_dir():
        pytest.skip("Triton is not installed: make triton")
    models = FolderRepository(tmp_path / "repository")
    publish(models, prepared_model(tmp_path), triton=None)
    with running_triton(models.folder) as triton, asking(triton.address, by_version=False) as asked:
        where = ("tiny", "--triton", triton.address, "--repository", models.folder)
        done = run("tune", *where, "--latency-ms", 10_000, "--json")
        assert done.exit_code == 0, done.stderr
        before = ModelConfig.read(models.folder / "tiny")
        done_late = run("tune", *where, "--latency-ms", 0)
    result = json.loads(done.stdout)
    assert {one["batch"] for one in result["measured"]} == {1, 2, 4}
    assert {one["instances"] for one in result["measured"]} == {1, 2}
    chosen = ExecutionConfig(**{**result["chosen"], "preferred": tuple(result["chosen"]["preferred"])})
    assert before.execution == chosen
    assert (done_late.exit_code, done_late.stderr.count("\n")) == (5, 1)
    assert "a single request takes" in done_late.stderr
    # On failure the previous setting is restored.
    assert ModelConfig.read(models.folder / "tiny") == before
    assert [one.problems for one in validate(models.folder)] == [()]
    assert asked.failures == {}


def test_a_missing_extra_is_reported() -> None:
    program = "import sys; sys.modules['onnx'] = None; from exporter.cli import main; main()"
    command = [sys.executable, "-c", program, "tune", "liver", "--triton", "127.0.0.1:1"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (5, "")
    assert done.stderr.startswith("error: the exporter needs onnx, which is not installed: ")
    assert done.stderr.endswith('pip install ".[exporter]"\n')
