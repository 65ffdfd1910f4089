"""The page of a report: it is whole by itself, and whatever names it gets are text."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser

from sixpoint.client import AnnotationInfo, DatasetInfo, DatasetLabel
from sixpoint.dataset_report import DatasetFigures, Series, line_chart, render_page
from sixpoint.dataset_report.charts import Marker
from sixpoint.dataset_report.figures import AnnotatorFigures, CaseFigures, LabelFigures
from sixpoint.loop import Choice, Decision, Rules, Verdict
from sixpoint.loop.decisions import PublishFacts

HOSTILE = '<script>alert("x")</script>'
BEGAN = datetime(2026, 1, 1, tzinfo=UTC)


class Tags(HTMLParser):
    """Collects the tags of a page, and what it would load."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []
        self.loaded: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.append(tag)
        self.loaded += [value or "" for name, value in attrs if name in {"src", "href"}]


def figures(*, cases: int) -> DatasetFigures:
    def case(number: int) -> CaseFigures:
        annotation = AnnotationInfo(
            id=f"id{number}",
            dataset="set",
            image_digest=f"{number:064d}",
            version=1,
            annotator=HOSTILE,
            created=BEGAN + timedelta(hours=number),
            labels={HOSTILE: 1},
            voxel_counts={HOSTILE: 10},
            session_id="session",
            model="annotation",
            model_version="5",
            prompt_count=9,
            active_seconds=60.0,
            state="accepted",
            reviewer="",
            reason="",
            digest="0" * 64,
        )
        return CaseFigures(HOSTILE, annotation, 8.0 - number, 60.0)

    published = Decision(
        time=BEGAN + timedelta(hours=2, minutes=30),
        round=1,
        rules=Rules(modality="CT"),
        facts=PublishFacts(start={"dice": 0.5, "dice_liver": 0.4}, trained={"dice": 0.8, "dice_liver": 0.7}),
        verdict=Verdict(choice=Choice.PUBLISH, reasons=("dice 0.5 -> 0.8",)),
        version="6",
        started_from="5",
    )
    return DatasetFigures(
        dataset=DatasetInfo(HOSTILE, "owner", BEGAN, (DatasetLabel(HOSTILE, 1),), 0.2, 0.0, cases, cases),
        images={"training": cases, "validation": 0, "test": 0},
        cases=tuple(case(number) for number in range(cases)),
        annotators=(AnnotatorFigures(HOSTILE, cases, 4.0, 60.0, cases, 0),) if cases else (),
        labels=(LabelFigures(HOSTILE, cases, 0, None),),
        decisions=(published,) if cases else (),
    )


def test_a_report_is_one_file_in_which_names_are_text() -> None:
    page = render_page(figures(cases=5))
    tags = Tags()
    tags.feed(page)
    assert "script" not in tags.names
    assert tags.loaded == []
    assert tags.names.count("svg") == 3
    # Where the version came: after the third of five cases.
    assert "version 6" in page
    assert "dice 0.5 -&gt; 0.8" in page


def test_the_only_label_has_no_line_of_its_own() -> None:
    one = figures(cases=5)
    # It would hide that of the first answers.
    assert ">liver</text>" not in render_page(one)
    two = replace(one, labels=(*one.labels, LabelFigures("spleen", 5, 0, None)))
    assert all(f">{name}</text>" in render_page(two) for name in ("first answers", "liver"))


def test_a_report_of_nothing_says_so() -> None:
    page = render_page(figures(cases=0))
    assert "svg" not in page.partition("</style>")[2]
    assert page.count("Nothing yet.") == 5


def test_the_axes_have_round_numbers() -> None:
    picture = line_chart([Series("a", [(1, 0.42), (12, 0.97)])], title="t", x_label="x", y_label="y")
    assert re.findall(r'middle">(\d+)</text>', picture) == ["5", "10"]
    assert re.findall(r'end">([\d.]+)</text>', picture) == ["0.6", "0.8"]


def test_a_chart_of_one_value_and_of_none() -> None:
    assert "<circle" in line_chart([Series("a", [(1, 2)])], title="t", x_label="x", y_label="y")
    assert line_chart([Series("a", [])], title="t", x_label="x", y_label="y") == ""
    assert line_chart([Series("a", [(1, float("nan"))])], title="t", x_label="x", y_label="y") == ""


def _texts(picture: str) -> dict[str, tuple[float, float]]:
    """Place (x, y) of each text that is not of an axis."""
    found = re.findall(r'<text x="([\d.]+)" y="([\d.]+)"(?: fill="#555555")?>([^<]+)</text>', picture)
    return {text: (float(x), float(y)) for x, y, text in found}


def test_texts_of_a_chart_cover_neither_each_other_nor_its_lines() -> None:
    names = [f"series number {number}" for number in range(8)]
    series = [Series(name, [(1, 1), (30, 2)]) for name in names]
    markers = [Marker(x, f"version {x}") for x in (6, 7, 8, 30)]
    picture = line_chart(series, title="t", x_label="x", y_label="y", markers=markers)
    texts = _texts(picture)
    assert texts.keys() == {*names, *(marker.text for marker in markers)}
    places = [(x, x + 5.5 * len(text), y) for text, (x, y) in texts.items()]
    for number, (begin, end, y) in enumerate(places):
        assert 0 <= begin < end <= 720
        assert all(y != other[2] or end <= other[0] or other[1] <= begin for other in places[:number])
    top = min(float(y) for y in re.findall(r'cy="([\d.]+)"', picture))
    assert all(texts[name][1] < top for name in names)


def test_whoever_gave_no_name_has_none_in_the_report() -> None:
    whole = figures(cases=2)
    nameless = replace(whole, annotators=(replace(whole.annotators[0], name=""),))
    assert "<td>(no name)</td>" in render_page(nameless)
