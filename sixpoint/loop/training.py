"""What the trainer is asked to do in a round, and the figures that it leaves."""

from __future__ import annotations

import json
from pathlib import Path

from sixpoint.loop.decisions import PublishFacts
from sixpoint.loop.rules import Rules, Task

__all__ = ["RUN", "read_figures", "training_arguments"]

RUN = "run"
"""Name of the trainer's folder within that of a round."""


def training_arguments(rules: Rules, task: Task, *, folder: Path, start: Path | None) -> list[str]:
    """Arguments of the trainer.

    Args:
        rules: Rules in force.
        task: Task of the model.
        folder: Folder of the round, with the export in ``data``.
        start: Version that serves; None: there is none yet.
    """
    own = rules.training_of(task)
    arguments = ["train", str(folder / RUN), "--data", str(folder / "data"), "--task", task]
    if start is not None:
        from_nothing = task == "segmentation" and rules.segmentation.start == "scratch"
        # Both are measured first, on the held-out cases.
        arguments += ["--reference" if from_nothing else "--init", str(start)]
    arguments += ["--minutes", f"{own.minutes:g}"]
    arguments += ["--steps", str(own.steps)] if own.steps else []
    arguments += ["--rate", f"{own.rate:g}"] if own.rate else []
    arguments += ["--mirror"] if task == "segmentation" and rules.segmentation.mirror else []
    arguments += ["--licence", rules.licence] if rules.licence else []
    return arguments


def read_figures(run: Path, *, first: bool) -> PublishFacts:
    """Read the figures of a run on its held-out cases.

    Args:
        run: Folder of the run.
        first: Whether its model has no version to be compared with.
    """
    history: list[dict[str, float]] = json.loads((run / "metrics.json").read_text())
    # Step 0 is the version that serves. The checkpoint is that of the best first answers.
    start = next((entry for entry in history if not entry["step"]), {})
    best = max((entry for entry in history if entry["step"]), key=lambda entry: entry["dice"])
    return PublishFacts(start=_dice(start), trained=_dice(best), first=first)


def _dice(entry: dict[str, float]) -> dict[str, float]:
    return {name: value for name, value in entry.items() if name.startswith("dice")}
