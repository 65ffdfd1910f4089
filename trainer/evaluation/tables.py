"""What an evaluation found, as figures and as Markdown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from trainer.evaluation.metrics import TOLERANCE_MM, area_under_curve
from trainer.evaluation.protocol import CLICKS, JITTER_VOXELS, ScoredAnswer, SkippedStructure, StructureResult

__all__ = ["LARGE_ML", "answers_by_prompt", "mean_scores", "score_curve", "to_json", "to_markdown"]

LARGE_ML = 20.0
"""Structures above this volume are also counted apart: points that miss by some voxels should cost them little."""

_METRICS = {
    "dice": ("Dice", 3),
    "nsd": (f"NSD at {TOLERANCE_MM:g} mm", 3),
    "hd95_mm": ("HD95 (mm)", 1),
}
_ALL = "all structures"
_LARGE = f"over {LARGE_ML:g} ml"
_MEAN = "mean of groups"


def answers_by_prompt(one: StructureResult) -> dict[str, ScoredAnswer]:
    """Every answer for a structure by what asked for it, in the order of the table."""
    named = {"points": one.steps[0]}
    named |= {f"{n} click{'s'[: n > 1]}": step for n, step in enumerate(one.steps[1:], start=1)}
    named["jittered"] = one.jittered
    if one.box is not None:
        named["box"] = one.box
    return named | dict(one.baselines)


def score_curve(one: StructureResult, metric: str) -> list[float]:
    """A metric after the points and after each click."""
    return [float(getattr(step.agreement, metric)) for step in one.steps]


def mean_scores(judged: Sequence[StructureResult], metric: str) -> dict[str, dict[str, float]]:
    """Means of a metric: by row (each group, all structures, the large ones, the mean of groups), then by column.

    Columns are those of :func:`answers_by_prompt`, and, after five clicks, "AUC" where the metric is a score; see
    :func:`trainer.evaluation.metrics.area_under_curve`.
    """
    groups = _groups(judged)
    table = {name: _means(members, metric) for name, members in groups.items()}
    means = {key: float(np.mean([row[key] for row in table.values()])) for key in next(iter(table.values()), {})}
    table[_ALL] = _means(judged, metric)
    if large := [one for one in judged if one.ml > LARGE_ML]:
        table[_LARGE] = _means(large, metric)
    table[_MEAN] = means
    return table


def to_json(judged: Sequence[StructureResult], left_out: Sequence[SkippedStructure], *, model: str) -> dict[str, Any]:
    """Every figure, for JSON: means, what clicks did, seconds, and each structure's answers."""
    return {
        "model": model,
        "model_version": ", ".join(sorted({one.model_version for one in judged})),
        "structures": {name: len(members) for name, members in _counted(judged).items()},
        "means": {metric: _rounded(mean_scores(judged, metric)) for metric in _METRICS},
        "clicks": _rounded(_clicks(judged)),
        "seconds": _rounded(_seconds(judged)),
        "cases": [_rounded(asdict(one)) for one in judged],
        "left_out": [asdict(one) for one in left_out],
    }


def to_markdown(judged: Sequence[StructureResult], left_out: Sequence[SkippedStructure], *, model: str) -> str:
    """The means, what clicks did, and the seconds, as Markdown tables."""
    versions = ", ".join(sorted({one.model_version for one in judged}))
    parts = [
        f"# {model} (version {versions}) over the gateway\n\n{len(judged)} structures. Points: six exact extreme "
        f"points. Clicks: in the middle of the largest error, one after another. Jittered: points off by up to "
        f"{JITTER_VOXELS} voxels on every axis, no clicks. AUC: of the answers after 1 to {CLICKS} clicks, at most "
        f"{CLICKS - 1}.\n"
    ]
    counts = {name: str(len(members)) for name, members in _counted(judged).items()}
    for metric, (title, digits) in _METRICS.items():
        parts.append(f"## {title}\n\n" + _table(mean_scores(judged, metric), "group", digits, counts))
    if clicks := _clicks(judged):
        parts.append("## Clicks\n\n" + _table(clicks, "click", 3, {}))
    parts.append("## Seconds\n\n" + _table(_seconds(judged), "call", 3, {}))
    if left_out:
        lines = "\n".join(f"- {one.group}, {one.name}: {one.reason}" for one in left_out)
        parts.append(f"## Left out\n\n{lines}\n")
    return "\n".join(parts)


def _groups(judged: Sequence[StructureResult]) -> dict[str, list[StructureResult]]:
    groups: dict[str, list[StructureResult]] = {}
    for one in judged:
        groups.setdefault(one.group, []).append(one)
    return groups


def _counted(judged: Sequence[StructureResult]) -> dict[str, Sequence[StructureResult]]:
    large = [one for one in judged if one.ml > LARGE_ML]
    return {**_groups(judged), _ALL: judged, _LARGE: large}


def _means(judged: Sequence[StructureResult], metric: str) -> dict[str, float]:
    values: dict[str, list[float]] = {}
    for one in judged:
        for name, answer in answers_by_prompt(one).items():
            values.setdefault(name, []).append(getattr(answer.agreement, metric))
            if name == f"{CLICKS} clicks" and metric != "hd95_mm":
                values.setdefault("AUC", []).append(area_under_curve(score_curve(one, metric)[1:]))
    return {name: float(np.mean(column)) for name, column in values.items()}


def _clicks(judged: Sequence[StructureResult]) -> dict[str, dict[str, float]]:
    """By click: how often there was an error left, and of those clicks what became of the answer."""
    table = {}
    for number in range(1, max((len(one.steps) for one in judged), default=1)):
        effects = [click for one in judged if (click := one.steps[number].click) is not None]
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


def _seconds(judged: Sequence[StructureResult]) -> dict[str, dict[str, float]]:
    """By kind of prompt, and by baseline: median, 95th percentile, and the median of each of the gateway's phases."""
    calls: dict[str, list[ScoredAnswer]] = {}
    for one in judged:
        for name, answer in answers_by_prompt(one).items():
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
    """The same with five digits after the point: what is beyond them is noise, and files stay small."""
    if isinstance(value, float):
        return round(value, 5)
    if isinstance(value, Mapping):
        return {key: _rounded(item) for key, item in value.items()}
    return [_rounded(item) for item in value] if isinstance(value, (list, tuple)) else value
