"""What ``sixpoint annotate`` reports, as JSON and as a table."""

from __future__ import annotations

import io
import json
from datetime import timedelta

import numpy as np
from rich.console import Console

from sixpoint.geometry import Geometry
from sixpoint.mask import Mask, Timings
from sixpoint.prompts import ExtremePoints
from sixpoint.report import Step, report, report_table


def facts(call: timedelta = timedelta(milliseconds=100)) -> dict[str, object]:
    mask = Mask(
        array=np.ones((2, 3, 4), np.uint8),
        geometry=Geometry((4, 3, 2), (10, 10, 10)),
        model="annotation",
        model_version="7",
        timings=Timings(*(timedelta(milliseconds=n) for n in (1, 2, 30, 4, 5))),
        reply_bytes=17,
    )
    step = Step(ExtremePoints([(1, 2, 3)] * 6), mask, call)
    return report([step], image="[ct].nii.gz", upload=timedelta(milliseconds=250))


def test_the_times_of_a_report_add_up_to_the_call() -> None:
    assert json.loads(json.dumps(facts())) == {
        "image": "[ct].nii.gz",
        "model": "annotation",
        "model_version": "7",
        "points": 6,
        "clicks": 0,
        "scribbles": 0,
        "lassos": 0,
        "answers": [{"prompt": "extreme points", "volume_ml": 24.0, "call_ms": 100.0}],
        "volume_ml": 24.0,
        "upload_ms": 250.0,
        "preprocess_ms": 3.0,
        "inference_ms": 30.0,
        "postprocess_ms": 9.0,
        "reply_ms": 58.0,
        "reply_bytes": 17,
    }


def test_times_are_not_negative() -> None:
    assert facts(timedelta(milliseconds=41))["reply_ms"] == 0.0


def test_the_table_shows_names_literally_and_dice_if_given() -> None:
    def text(of: dict[str, object]) -> str:
        console = Console(width=100, file=io.StringIO())
        with console.capture() as captured:
            console.print(report_table(of))
        return captured.get()

    assert "[ct].nii.gz" in text(facts())
    assert "Dice" not in text(facts())
    assert "0.912 against the known truth" in text(facts() | {"dice": 0.9123})
