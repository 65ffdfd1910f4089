"""What a run showed: the report, a picture of clicks per case with and without the circle, and the figures in words."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from statistics import fmean

from benchmarks.circle.annotator import Outlined
from benchmarks.circle.run import CaseResult
from sixpoint.client import Client
from sixpoint.dataset_report import Marker, Series, collect_figures, hardest_cases, line_chart, render_page
from sixpoint.loop import Decision

__all__ = ["draw_clicks", "report_page", "summary"]

_WINDOW = 5


def report_page(client: Client, dataset: str, decisions: Sequence[Decision]) -> str:
    """Render the report of the dataset as HTML."""
    figures = collect_figures(client, dataset, decisions)
    return render_page(figures, hardest_cases(client, figures.cases))


def draw_clicks(alone: Sequence[CaseResult], circle: Sequence[CaseResult]) -> str:
    """Draw the clicks of each case with and without the circle, as SVG."""
    before = _in_order(alone, circle)
    versions = [result.structures[0].version for result in circle]
    markers = [
        Marker(number + 0.5, f"version {version}")
        for number, (version, previous) in enumerate(zip(versions[1:], versions, strict=False), 1)
        if version != previous
    ]
    series = [
        Series(f"{name}, mean of {_WINDOW}", _moving_mean([_clicks(result) for result in results]))
        for name, results in (("without", before), ("with", circle))
    ]
    return line_chart(
        series,
        title="Correcting clicks per structure, with and without the circle",
        x_label="cases in the order of their annotation",
        y_label="clicks",
        markers=markers,
    )


def summary(alone: Sequence[CaseResult], circle: Sequence[CaseResult]) -> list[str]:
    """Say in lines what the last third of the cases took, label by label, with the circle and without it."""
    last = len(circle) - max(1, len(circle) // 3)
    ends = {"without": _in_order(alone, circle)[last:], "with": circle[last:]}
    lines = [f"the last {len(circle) - last} of {len(circle)} cases, without the circle and with it:"]
    for label in dict.fromkeys(done.label for result in circle for done in result.structures):
        values = {
            what: tuple(_mean(ends[name], label, figure) for name in ("without", "with"))
            for what, figure in _FIGURES.items()
        }
        lines.append(
            f"  {label}: "
            + "; ".join(f"{what} {before:.2f} -> {after:.2f}" for what, (before, after) in values.items())
        )
    return lines


_FIGURES: Mapping[str, Callable[[Outlined], float]] = {
    "clicks": lambda done: done.clicks,
    "Dice of the first answer": lambda done: done.dice[0],
    "Dice after the clicks": lambda done: done.dice[-1],
}


def _mean(results: Sequence[CaseResult], label: str, figure: Callable[[Outlined], float]) -> float:
    return fmean(figure(done) for result in results for done in result.structures if done.label == label)


def _clicks(result: CaseResult) -> float:
    return fmean(done.clicks for done in result.structures)


def _in_order(results: Sequence[CaseResult], order: Sequence[CaseResult]) -> list[CaseResult]:
    by_name = {result.case: result for result in results}
    return [by_name[result.case] for result in order]


def _moving_mean(values: Sequence[float]) -> list[tuple[float, float]]:
    return [(float(n), fmean(values[max(0, n - _WINDOW) : n])) for n in range(1, len(values) + 1)]
