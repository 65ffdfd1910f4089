"""The report as one HTML file: no scripts, no other files, no server."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

from sixpoint.dataset_report.charts import Marker, Series, line_chart
from sixpoint.dataset_report.figures import DatasetFigures
from sixpoint.dataset_report.thumbnails import Thumbnail
from sixpoint.loop import Choice, Decision
from sixpoint.loop.decisions import PublishFacts

__all__ = ["render_page"]

# A gateway that asks for no identity takes the name that a client sends, which may be none.
_UNNAMED = "(no name)"
_WINDOW = 5
"""Number of cases of a moving mean."""
_STYLE = (
    "body{font-family:sans-serif;max-width:760px;margin:2em auto;padding:0 1em;color:#222}"
    "table{border-collapse:collapse;width:100%;font-size:14px}td,th{text-align:left;padding:4px 8px;"
    "border-bottom:1px solid #ddd;vertical-align:top}svg,img{width:100%}figure{margin:1em 0}figcaption{color:#555}"
)


def render_page(figures: DatasetFigures, pictures: Sequence[Thumbnail] = ()) -> str:
    """Render the report of a dataset as HTML."""
    name = figures.dataset.name
    images = ", ".join(f"{count} for {split}" for split, count in figures.images.items() if count) or "none"
    parts = [
        f"<h1>{escape(name)}</h1>",
        f"<p>Images: {images}. Accepted: {figures.dataset.accepted_count}. Labels: "
        f"{escape(', '.join(label.name for label in figures.dataset.labels)) or 'none'}.</p>",
        _section("Does it get easier?", _effort(figures)),
        _section(
            "What the versions reached on held-out cases",
            _learning_curves(figures.decisions, labels=len(figures.labels)),
        ),
        _section("Versions and decisions", [_timeline(figures.decisions)]),
        _section("People", [_people(figures)]),
        _section("Labels", [_labels(figures)]),
        _section("What took most corrections", _pictures(pictures)),
    ]
    return (
        f'<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>{escape(name)}</title>'
        f"<style>{_STYLE}</style></head><body>{''.join(parts)}</body></html>\n"
    )


def _section(title: str, content: Iterable[str]) -> str:
    text = "".join(content)
    return f"<h2>{title}</h2>{text or '<p>Nothing yet.</p>'}"


def _effort(figures: DatasetFigures) -> Iterable[str]:
    cases = figures.cases
    markers = [
        Marker(sum(case.annotation.created < decision.time for case in cases) + 0.5, f"version {decision.version}")
        for decision in figures.decisions
        if decision.verdict.choice is Choice.PUBLISH
    ]
    for title, values, unit in (
        ("Corrections per mask", [case.corrections for case in cases], "prompts beyond the first"),
        ("Work per mask", [case.seconds for case in cases], "seconds"),
    ):
        points = list(enumerate(values, 1))
        mean = [(n, sum(values[max(0, n - _WINDOW) : n]) / min(n, _WINDOW)) for n, _ in points]
        series = [Series("each case", points, joined=False), Series(f"mean of the last {_WINDOW}", mean)]
        yield line_chart(
            series, title=title, x_label="cases in the order of their annotation", y_label=unit, markers=markers
        )


def _learning_curves(decisions: Sequence[Decision], *, labels: int) -> Iterable[str]:
    """A curve of each model: the annotation model, and the one that needs no clicks."""
    for task, title in (("annotation", "Dice on held-out cases"), ("segmentation", "Dice without clicks")):
        own = [each for each in decisions if each.task == task]
        if own or task == "annotation":
            yield from _learning_curve(own, title=title, labels=labels)


def _learning_curve(decisions: Sequence[Decision], *, title: str, labels: int) -> Iterable[str]:
    measured = [(each.round, each.facts) for each in decisions if isinstance(each.facts, PublishFacts)]
    names = [name for name in dict.fromkeys(n for _, facts in measured for n in facts.trained) if _is_shown(name)]
    if labels == 1:
        # The Dice of the only label is that of all.
        names = [name for name in names if name == "dice" or name.startswith("dice_clicks_")]
    series = []
    for name in names:
        points = [(float(number), facts.trained[name]) for number, facts in measured if name in facts.trained]
        number, first = measured[0]
        # Round 0 is what the first round started from.
        begin = [(number - 1.0, first.start[name])] if name in first.start else []
        series.append(Series(_label_of(name), [*begin, *points]))
    yield line_chart(series, title=title, x_label="round of training", y_label="Dice")


def _is_shown(name: str) -> bool:
    return name not in {"dice_ellipsoid", "dice_jittered", "dice_clicks_1", "dice_clicks_2"}


def _label_of(name: str) -> str:
    if name == "dice":
        return "first answers"
    return name.removeprefix("dice_").replace("clicks_3", "after three clicks").replace("_", " ")


def _timeline(decisions: Sequence[Decision]) -> str:
    rows = [
        (
            f"{each.time:%Y-%m-%d %H:%M}",
            str(each.round),
            f"{each.verdict.choice.value} {f'version {each.version}' if each.version else ''}".strip(),
            f"{each.rules.model_of(each.task)} {each.started_from or 'none'}, {len(each.annotations)} annotations",
            "; ".join(each.verdict.reasons),
        )
        for each in decisions
    ]
    return _table(("time", "round", "decision", "from", "because"), rows)


def _people(figures: DatasetFigures) -> str:
    rows = [
        (
            each.name or _UNNAMED,
            str(each.cases),
            f"{each.corrections:.1f}",
            f"{each.seconds:.0f} s",
            str(each.accepted),
            str(each.rejected),
        )
        for each in figures.annotators
    ]
    return _table(("annotator", "cases", "corrections per mask", "work per mask", "accepted", "rejected"), rows)


def _labels(figures: DatasetFigures) -> str:
    rows = [
        (
            each.name,
            str(each.present),
            str(each.absent),
            "" if each.corrections is None else f"{each.corrections:.1f}",
        )
        for each in figures.labels
    ]
    return _table(("label", "present in", "absent in", "corrections per mask, where it is alone"), rows)


def _pictures(pictures: Sequence[Thumbnail]) -> Iterable[str]:
    for each in pictures:
        yield (
            f'<figure><img alt="{escape(each.case.case)}" src="data:image/png;base64,{each.png}"><figcaption>'
            f"{escape(each.case.case)}: {each.case.corrections:.1f} corrections per mask</figcaption></figure>"
        )


def _table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    if not rows:
        return ""
    head = "".join(f"<th>{escape(text)}</th>" for text in headings)
    body = "".join("<tr>" + "".join(f"<td>{escape(text)}</td>" for text in row) + "</tr>" for row in rows)
    return f"<table><tr>{head}</tr>{body}</table>"
