"""What a run round the circle says: cases are compared with themselves, whatever their order was."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.circle.annotator import Outlined
from benchmarks.circle.pictures import draw_clicks, summary
from benchmarks.circle.run import CaseResult


def result(case: int, version: str, dice: Sequence[float]) -> CaseResult:
    return CaseResult(f"case-{case}", "training", (Outlined("gland", version, tuple(dice), 0.1),))


ALONE = [result(number, "5", [0.5] * (9 - number)) for number in range(6)]
"""Case 0 takes eight clicks, case 5 three."""
CIRCLE = [
    result(number, "5" if number > 2 else "6", [0.8] if number < 2 else [0.7, 0.9]) for number in reversed(range(6))
]


def test_the_last_third_is_compared_with_the_same_cases_without_the_circle() -> None:
    heading, line = summary(ALONE, CIRCLE)
    assert heading.startswith("the last 2 of 6 cases")
    # Cases 1 and 0, which were the last.
    assert line == (
        "  gland: clicks 7.50 -> 0.00; Dice of the first answer 0.50 -> 0.80; Dice after the clicks 0.50 -> 0.80"
    )


def test_the_picture_marks_where_a_version_came() -> None:
    picture = draw_clicks(ALONE, CIRCLE)
    assert picture.count("<polyline") == 2
    assert picture.count("version 6") == 1
