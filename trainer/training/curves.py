"""Plot of a run: its loss, and Dice per label on held-out cases."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from sixpoint.io.atomic_files import write_file

__all__ = ["draw_curves"]


def draw_curves(history: Sequence[Mapping[str, float]], path: Path) -> None:
    """Write a PNG with two panels over the steps: loss and Dice.

    Args:
        history: ``step``, ``loss`` and figures whose names begin with ``dice``, of each validation; step 0 has no loss.
        path: PNG file to write.
    """
    figure = Figure(figsize=(10, 4), layout="constrained")
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2)
    losses = [(entry["step"], entry["loss"]) for entry in history if "loss" in entry]
    left.plot([step for step, _ in losses], [loss for _, loss in losses], marker=".", color="black")
    left.set(title="Loss in training", xlabel="step")
    names = sorted({name for entry in history for name in entry if name.startswith("dice")})
    for name in names:
        points = [(entry["step"], entry[name]) for entry in history if name in entry]
        label = name.removeprefix("dice_") if name != "dice" else "mean"
        right.plot(*zip(*points, strict=True), marker=".", label=label, linewidth=2 if name == "dice" else 1)
    right.set(title="Dice on held-out cases", xlabel="step", ylim=(0, 1))
    for axes in (left, right):
        axes.grid(alpha=0.3)
    if names:
        right.legend(loc="lower right", fontsize="small")
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110)
    write_file(path, buffer.getvalue())
