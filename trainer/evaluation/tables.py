"""Results of an evaluation as JSON and as Markdown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from trainer.evaluation.metrics import TOLERANCE_MM, area_under_curve
from trainer.evaluation.protocol import CLICKS, JITTER_VOXELS, ScoredAnswer, SkippedStructure, StructureResult
from trainer.simulation.click_measures import MeasuredClick, tabulate_clicks

__all__ = ["LARGE_ML", "answers_by_prompt", "mean_scores", "score_curve", "to_json", "to_markdown"]

LARGE_ML = 20.0
"""Structures above this volume have a row of their own: jitter of some voxels should cost them little."""

_METRICS = {
    "dice": ("Dice", 3),
    "nsd": (f"NSD at {TOLERANCE_MM:g} mm", 3),
    "hd95_mm": ("HD95 (mm)", 1),
}
_ALL = "all structures"
_LARGE = f"over {LARGE_ML:g} ml"
_MEAN = "mean of groups"


def answers_by_prompt(result: StructureResult) -> dict[str, ScoredAnswer]:
    """Return the answers for a structure by the prompt that led to them, in the order of the table."""
    named = {"points": result.steps[0]}
    named |= {f"{n} click{'s'[: n > 1]}": step for n, step in enumerate(result.steps[1:], start=1)}
    named["jittered"] = result.jittered
    if result.box is not None:
        named["box"] = result.box
    return named | dict(result.baselines)


def score_curve(result: StructureResult, metric: str) -> list[float]:
    """Return a metric after the points and after each click."""
    return [float(getattr(step.agreement, metric)) for step in result.steps]


def mean_scores(results: Sequence[StructureResult], metric: str) -> dict[str, dict[str, float]]:
    """Compute the means of a metric by row (each group, all structures, large structures, mean of groups) and column.

    The columns are those of :func:`answers_by_prompt`, and, after five clicks, "AUC" for metrics that are scores; see
    :func:`trainer.evaluation.metrics.area_under_curve`.
    """
    groups = _groups(results)
    table = {name: _means(members, metric) for name, members in groups.items()}
    means = {key: float(np.mean([row[key] for row in table.values()])) for key in next(iter(table.values()), {})}
    table[_ALL] = _means(results, metric)
    if large := [result for result in results if result.ml > LARGE_ML]:
        table[_LARGE] = _means(large, metric)
    table[_MEAN] = means
    return table


def to_json(results: Sequence[StructureResult], skipped: Sequence[SkippedStructure], *, model: str) -> dict[str, Any]:
    """Return all figures for ``evaluation.json``: means, effects of clicks, seconds, and the answers per structure."""
    return {
        "model": model,
        "model_version": ", ".join(sorted({result.model_version for result in results})),
        "structures": {name: len(members) for name, members in _counted(results).items()},
        "means": {metric: _rounded(mean_scores(results, metric)) for metric in _METRICS},
        "clicks": _rounded(_clicks(results)),
        "click_measures": _rounded(_click_measures(results)),
        "seconds": _rounded(_seconds(results)),
        "cases": [_rounded(asdict(result)) for result in results],
        "left_out": [asdict(result) for result in skipped],
    }


def to_markdown(results: Sequence[StructureResult], skipped: Sequence[SkippedStructure], *, model: str) -> str:
    """Format means, effects of clicks and seconds as Markdown tables."""
    versions = ", ".join(sorted({result.model_version for result in results}))
    parts = [
        f"# {model} (version {versions}) over the gateway\n\n{len(results)} structures. Points: six exact extreme "
        f"points. Clicks: in the middle of the largest error, one after another. Jittered: points off by up to "
        f"{JITTER_VOXELS} voxels on every axis, no clicks. AUC: of the answers after 1 to {CLICKS} clicks, at most "
        f"{CLICKS - 1}.\n"
    ]
    counts = {name: str(len(members)) for name, members in _counted(results).items()}
    for metric, (title, digits) in _METRICS.items():
        parts.append(f"## {title}\n\n" + _table(mean_scores(results, metric), "group", digits, counts))
    if clicks := _clicks(results):
        parts.append("## Clicks\n\n" + _table(clicks, "click", 3, {}))
        parts.append("## What clicks correct and spoil\n\n" + _table(_click_measures(results), "clicks", 3, {}))
    parts.append("## Seconds\n\n" + _table(_seconds(results), "call", 3, {}))
    if skipped:
        lines = "\n".join(f"- {result.group}, {result.name}: {result.reason}" for result in skipped)
        parts.append(f"## Left out\n\n{lines}\n")
    return "\n".join(parts)


def _groups(results: Sequence[StructureResult]) -> dict[str, list[StructureResult]]:
    groups: dict[str, list[StructureResult]] = {}
    for result in results:
        groups.setdefault(result.group, []).append(result)
    return groups


def _counted(results: Sequence[StructureResult]) -> dict[str, Sequence[StructureResult]]:
    large = [result for result in results if result.ml > LARGE_ML]
    return {**_groups(results), _ALL: results, _LARGE: large}


def _means(results: Sequence[StructureResult], metric: str) -> dict[str, float]:
    values: dict[str, list[float]] = {}
    for result in results:
        for name, answer in answers_by_prompt(result).items():
            values.setdefault(name, []).append(getattr(answer.agreement, metric))
            if name == f"{CLICKS} clicks" and metric != "hd95_mm":
                values.setdefault("AUC", []).append(area_under_curve(score_curve(result, metric)[1:]))
    return {name: float(np.mean(column)) for name, column in values.items()}


def _clicks(results: Sequence[StructureResult]) -> dict[str, dict[str, float]]:
    """Compute the effects of the first, second, ... click over the structures that still had an error to click."""
    table = {}
    for number in range(1, max((len(result.steps) for result in results), default=1)):
        effects = [click for result in results if (click := result.steps[number].click) is not None]
        if not effects:
            continue
        shares = [(click.far / click.changed, click.far_worse / click.changed) for click in effects if click.changed]
        far, worse = np.mean(shares, axis=0) if shares else (0.0, 0.0)
        table[str(number)] = {
            "voxel on its side": float(np.mean([click.holds for click in effects])),
            "Dice rose": float(np.mean([click.gain > 0 for click in effects])),
            "Dice fell": float(np.mean([click.gain < 0 for click in effects])),
            "mean gain": float(np.mean([click.gain for click in effects])),
            "changed far": float(far),
            "far, for the worse": float(worse),
        }
    return table


def _click_measures(results: Sequence[StructureResult]) -> dict[str, dict[str, float]]:
    measured = [
        MeasuredClick(
            change=step.click.change,
            gain=step.click.gain,
            positive=step.click.positive,
            voxels=result.voxels,
            fill=result.fill,
            extent=result.extent,
        )
        for result in results
        for step in result.steps
        if step.click is not None
    ]
    return tabulate_clicks(measured)


def _seconds(results: Sequence[StructureResult]) -> dict[str, dict[str, float]]:
    """Compute median, 95th percentile and median of each phase, by kind of prompt and by baseline."""
    calls: dict[str, list[ScoredAnswer]] = {}
    for result in results:
        for name, answer in answers_by_prompt(result).items():
            if name.endswith(("click", "clicks")):
                if answer.click is not None:
                    calls.setdefault("click", []).append(answer)
            elif name != "jittered":
                calls.setdefault(name, []).append(answer)
    table = {}
    for name, made in calls.items():
        seconds = [answer.seconds for answer in made]
        row = {"median": float(np.median(seconds)), "95th percentile": float(np.percentile(seconds, 95))}
        for phase in made[0].phases:
            row[phase] = float(np.median([answer.phases[phase] for answer in made]))
        table[name] = row
    return table


def _table(table: Mapping[str, Mapping[str, float]], corner: str, digits: int, counts: Mapping[str, str]) -> str:
    columns = list(dict.fromkeys(name for row in table.values() for name in row))
    heads = [corner, *(["structures"] if counts else []), *columns]
    lines = ["| " + " | ".join(heads) + " |", "|" + "---|" * len(heads)]
    for name, row in table.items():
        title = f"**{name}**" if name in (_ALL, _LARGE, _MEAN) else name
        cells = [f"{row[column]:.{digits}f}" if column in row else "" for column in columns]
        lines.append("| " + " | ".join([title, *([counts.get(name, "")] if counts else []), *cells]) + " |")
    return "\n".join(lines) + "\n"


def _rounded(value: Any) -> Any:
    """Round floats to five digits: the rest is noise, and files stay small."""
    if isinstance(value, float):
        return round(value, 5)
    if isinstance(value, Mapping):
        return {key: _rounded(item) for key, item in value.items()}
    return [_rounded(item) for item in value] if isinstance(value, (list, tuple)) else value
