from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import numpy as np
from rich.console import Console

from sixpoint.geometry import Geometry
from sixpoint.mask import Mask, Timings
from sixpoint.prompts import Box, Click, ExtremePoints, Lasso, Prompt, Scribble
from sixpoint.report import Step, report, report_table

SIX = ExtremePoints([(1, 2, 3)] * 6)

MASK = Mask(
    array=np.ones((10, 10, 10), np.uint8),
    geometry=Geometry(size=(10, 10, 10), spacing=(2.0, 2.0, 2.0)),
    model="annotation",
    model_version="3",
    timings=Timings(*(timedelta(milliseconds=value) for value in (1, 20, 100, 30, 4))),
    reply_bytes=77,
)


def facts(*prompts: Prompt) -> dict[str, Any]:
    """Of one call for each prompt, 160 ms, 161 ms, ..."""
    steps = [Step(one, MASK, timedelta(milliseconds=160 + number)) for number, one in enumerate(prompts or (SIX,))]
    return report(steps, image="ct.nii.gz", upload=timedelta(milliseconds=12))


def text(rows: dict[str, Any], *, width: int = 100, verbose: bool = False) -> str:
    console = Console(width=width)
    with console.capture() as captured:
        console.print(report_table(rows, verbose=verbose))
    return captured.get()


def test_the_times_add_up_to_the_call() -> None:
    found = facts()
    phases = ("preprocess_ms", "inference_ms", "postprocess_ms", "reply_ms")
    assert [found[phase] for phase in phases] == [21, 100, 34, 5]
    assert sum(found[phase] for phase in phases) == 160
    assert found["volume_ml"] == 8.0


def test_every_call_is_an_answer_and_the_times_are_those_of_the_last() -> None:
    found = facts(SIX, Click((1, 2, 3)), Click((4, 5, 6), False))
    assert (found["points"], found["clicks"]) == (6, 2)
    assert found["answers"] == [
        {"prompt": "extreme points", "volume_ml": 8.0, "call_ms": 160.0},
        {"prompt": "positive click", "volume_ml": 8.0, "call_ms": 161.0},
        {"prompt": "negative click", "volume_ml": 8.0, "call_ms": 162.0},
    ]
    assert found["reply_ms"] == 7


def test_the_table_shows_every_click() -> None:
    given = facts(SIX, Click((1, 2, 3)), Click((4, 5, 6), False))
    lines = text(given, verbose=True).splitlines()
    assert [" ".join(line.split()) for line in lines[2:5]] == [
        "points 6: 8.0 ml, 160 ms",
        "click 1 positive: 8.0 ml, 161 ms",
        "click 2 negative: 8.0 ml, 162 ms",
    ]
    assert "click" not in text(facts())
    assert [" ".join(line.split()) for line in text(given).splitlines()] == [
        "image ct.nii.gz",
        "model annotation (version 3)",
        "points 6: 8.0 ml",
        "click 1 positive: 8.0 ml",
        "click 2 negative: 8.0 ml",
        "mask 8.0 ml",
    ]


def test_the_table_counts_strokes_by_their_kind() -> None:
    corners = [(1, 2, 3), (4, 2, 3), (4, 5, 3)]
    given = facts(Lasso(corners), Scribble(corners, False), Click((1, 2, 3)), Scribble(corners))
    assert (given["clicks"], given["scribbles"], given["lassos"]) == (1, 2, 1)
    assert [" ".join(line.split()) for line in text(given).splitlines()[2:-1]] == [
        "lasso 1 positive: 8.0 ml",
        "scribble 1 negative: 8.0 ml",
        "click 1 positive: 8.0 ml",
        "scribble 2 positive: 8.0 ml",
    ]


def test_times_and_sizes_are_shown_only_where_asked_for() -> None:
    assert not re.search(r"\d (ms|bytes)\b", text(facts()))
    assert len(re.findall(r"\d (?:ms|bytes)\b", text(facts(), verbose=True))) == 6


def test_a_box_has_no_points() -> None:
    found = facts(Box((1, 2, 3), (4, 5, 6)))
    assert (found["points"], found["answers"][0]["prompt"]) == (0, "box")
    assert "two corners" in text(found)


def test_the_table_shows_dice_only_where_it_is_known() -> None:
    assert "Dice" not in text(facts())
    assert "0.912" in text(facts() | {"dice": 0.9123})
    assert "annotation (version 3)" in text(facts())


def test_the_command_that_continues_a_session_is_one_line_of_80_columns() -> None:
    command = "sixpoint resume k7m2pq9rstu4vwxy3zab5cdefg"
    assert command in text(facts() | {"session": command.split()[-1]}, width=80)
