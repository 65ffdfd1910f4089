"""The trainer's commands do not overwrite what they read."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from sixpoint.errors import InvalidArgument
from trainer.cli import app


@pytest.mark.parametrize(
    ("arguments", "overwritten"),
    [
        (["train", "RUN", "--data", "DATA", "--task", "segmentation", "--init", "RUN/checkpoint.pt"], "checkpoint.pt"),
        (["train", "RUN", "--data", "DATA", "--task", "annotation", "--spec", "RUN/spec.yaml"], "spec.yaml"),
        (["train", "RUN", "--data", "RUN", "--task", "segmentation"], "checkpoint.pt"),
        (["pretrain", "RUN", "--init", "RUN/checkpoint.pt"], "checkpoint.pt"),
        (["pretrain", "RUN", "--init", "RUN"], "checkpoint.pt"),
        (["pretrain", "RUN", "--spec", "RUN/spec.yaml"], "spec.yaml"),
        (["samples", "RUN/spec.yaml", "--spec", "RUN/spec.yaml"], "spec.yaml"),
        (["evaluate", "DATA", "--output", "DATA"], "evaluation.json"),
        (["train", "DATA", "--data", "DATA", "--task", "segmentation"], "split.json"),
    ],
)
def test_an_output_that_is_an_input_is_refused(arguments: list[str], overwritten: str, tmp_path: Path) -> None:
    for name in ("RUN", "DATA"):
        (tmp_path / name).mkdir()
    for name in ("RUN/checkpoint.pt", "RUN/spec.yaml", "DATA/evaluation.json", "DATA/split.json"):
        (tmp_path / name).write_text("precious")
    given = [text.replace("RUN", f"{tmp_path}/RUN").replace("DATA", f"{tmp_path}/DATA") for text in arguments]
    result = CliRunner().invoke(app, given)
    assert isinstance(result.exception, InvalidArgument), result.output
    assert overwritten in result.exception.message
    assert "would overwrite the input" in result.exception.message
    assert all(path.read_text() == "precious" for path in tmp_path.glob("*/*"))
