"""What an evaluation found, as pictures."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from trainer.evaluation.protocol import JITTER_VOXELS, StructureResult
from trainer.evaluation.tables import LARGE_ML, answers_by_prompt, mean_scores, score_curve

__all__ = ["write_plots"]


def write_plots(judged: Sequence[StructureResult], folder: Path) -> list[Path]:
    """Write the plots as PNG.

    Args:
        judged: At least one structure.
        folder: To write into; made when it is not there.

    Returns:
        The files: Dice by clicks, Dice beside the baselines (where there are any), Dice lost by points that miss.
    """
    folder.mkdir(parents=True, exist_ok=True)
    plots = {"clicks.png": _clicks, "jitter.png": _jitter}
    if judged[0].baselines:
        plots["baselines.png"] = _baselines
    written = []
    for name, draw in sorted(plots.items()):
        figure = Figure(figsize=(9, 5), layout="constrained")
        draw(figure.add_subplot(), judged)
        figure.savefig(folder / name, dpi=120)
        written.append(folder / name)
    return written


def _clicks(axes: Axes, judged: Sequence[StructureResult]) -> None:
    groups: dict[str, list[list[float]]] = {}
    for one in judged:
        groups.setdefault(one.group, []).append(score_curve(one, "dice"))
    for group, curves in groups.items():
        axes.plot(np.mean(curves, axis=0), marker=".", linewidth=1, label=f"{group} ({len(curves)})")
    whole = [score_curve(one, "dice") for one in judged]
    axes.plot(np.mean(whole, axis=0), marker="o", linewidth=3, color="black", label=f"all structures ({len(whole)})")
    axes.set_xticks(range(len(whole[0])), ["six points", *map(str, range(1, len(whole[0])))])
    axes.set(xlabel="correction clicks", ylabel="mean Dice", ylim=(0, 1))
    axes.grid(alpha=0.3)
    axes.legend(loc="center left", bbox_to_anchor=(1, 0.5), fontsize=8, frameon=False)


def _baselines(axes: Axes, judged: Sequence[StructureResult]) -> None:
    table = mean_scores(judged, "dice")
    names = ["points", *judged[0].baselines]
    width = 0.8 / len(names)
    for number, name in enumerate(names):
        place = np.arange(len(table)) + (number - (len(names) - 1) / 2) * width
        axes.bar(place, [row[name] for row in table.values()], width, label="network" if name == "points" else name)
    axes.set_xticks(range(len(table)), list(table), rotation=30, ha="right", fontsize=8)
    axes.set(ylabel="mean Dice from six exact points", ylim=(0, 1))
    axes.grid(axis="y", alpha=0.3)
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, 1.1), ncols=len(names), frameon=False)


def _jitter(axes: Axes, judged: Sequence[StructureResult]) -> None:
    for group in dict.fromkeys(one.group for one in judged):
        members = [one for one in judged if one.group == group]
        lost = [answers_by_prompt(one)["points"].agreement.dice - one.jittered.agreement.dice for one in members]
        axes.scatter([one.ml for one in members], lost, s=12, label=group)
    axes.axvline(LARGE_ML, color="grey", linewidth=1, linestyle="--")
    axes.axhline(0, color="black", linewidth=1)
    missed = f"Dice lost by points off by up to {JITTER_VOXELS} voxels on every axis"
    axes.set(xscale="log", xlabel="volume (ml)", ylabel=missed)
    axes.grid(alpha=0.3)
    axes.legend(loc="center left", bbox_to_anchor=(1, 0.5), fontsize=8, frameon=False)
