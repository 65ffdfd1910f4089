"""Plots of an evaluation."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from trainer.evaluation.protocol import JITTER_VOXELS, StructureResult
from trainer.evaluation.tables import LARGE_ML, answers_by_prompt, mean_scores, score_curve

__all__ = ["write_plots"]


def write_plots(results: Sequence[StructureResult], folder: Path) -> list[Path]:
    """Write the plots as PNG files: Dice by clicks, Dice beside the baselines if there are any, Dice lost by jitter.

    Args:
        results: Results of at least result structure.
        folder: Folder to write into; created if necessary.

    Returns:
        Written files.
    """
    folder.mkdir(parents=True, exist_ok=True)
    plots = {"clicks.png": _clicks, "jitter.png": _jitter}
    if results[0].baselines:
        plots["baselines.png"] = _baselines
    written = []
    for name, draw in sorted(plots.items()):
        figure = Figure(figsize=(9, 5), layout="constrained")
        draw(figure.add_subplot(), results)
        figure.savefig(folder / name, dpi=120)
        written.append(folder / name)
    return written


def _clicks(axes: Axes, results: Sequence[StructureResult]) -> None:
    groups: dict[str, list[list[float]]] = {}
    for result in results:
        groups.setdefault(result.group, []).append(score_curve(result, "dice"))
    for group, curves in groups.items():
        axes.plot(np.mean(curves, axis=0), marker=".", linewidth=1, label=f"{group} ({len(curves)})")
    whole = [score_curve(result, "dice") for result in results]
    axes.plot(np.mean(whole, axis=0), marker="o", linewidth=3, color="black", label=f"all structures ({len(whole)})")
    axes.set_xticks(range(len(whole[0])), ["six points", *map(str, range(1, len(whole[0])))])
    axes.set(xlabel="correction clicks", ylabel="mean Dice", ylim=(0, 1))
    axes.grid(alpha=0.3)
    axes.legend(loc="center left", bbox_to_anchor=(1, 0.5), fontsize=8, frameon=False)


def _baselines(axes: Axes, results: Sequence[StructureResult]) -> None:
    table = mean_scores(results, "dice")
    names = ["points", *results[0].baselines]
    width = 0.8 / len(names)
    for number, name in enumerate(names):
        place = np.arange(len(table)) + (number - (len(names) - 1) / 2) * width
        axes.bar(place, [row[name] for row in table.values()], width, label="network" if name == "points" else name)
    axes.set_xticks(range(len(table)), list(table), rotation=30, ha="right", fontsize=8)
    axes.set(ylabel="mean Dice from six exact points", ylim=(0, 1))
    axes.grid(axis="y", alpha=0.3)
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, 1.1), ncols=len(names), frameon=False)


def _jitter(axes: Axes, results: Sequence[StructureResult]) -> None:
    for group in dict.fromkeys(result.group for result in results):
        members = [result for result in results if result.group == group]
        lost = [
            answers_by_prompt(result)["points"].agreement.dice - result.jittered.agreement.dice for result in members
        ]
        axes.scatter([result.ml for result in members], lost, s=12, label=group)
    axes.axvline(LARGE_ML, color="grey", linewidth=1, linestyle="--")
    axes.axhline(0, color="black", linewidth=1)
    missed = f"Dice lost by points off by up to {JITTER_VOXELS} voxels on every axis"
    axes.set(xscale="log", xlabel="volume (ml)", ylabel=missed)
    axes.grid(alpha=0.3)
    axes.legend(loc="center left", bbox_to_anchor=(1, 0.5), fontsize=8, frameon=False)
