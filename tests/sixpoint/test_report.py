from __future__ import annotations

from datetime import timedelta

import numpy as np
from rich.console import Console

from sixpoint.geometry import Geometry
from sixpoint.mask import Mask, Timings
from sixpoint.report import report, report_table

MASK = Mask(
    array=np.ones((10, 10, 10), np.uint8),
    geometry=Geometry(size=(10, 10, 10), spacing=(2.0, 2.0, 2.0)),
    model="annotation",
    model_version="3",
    timings=Timings(*(timedelta(milliseconds=value) for value in (1, 20, 100, 30, 4))),
    reply_bytes=77,
)


def facts() -> dict:
    return report(
        MASK, image="ct.nii.gz", points=6, upload=timedelta(milliseconds=12), call=timedelta(milliseconds=160)
    )


def test_the_times_add_up_to_the_call():
    found = facts()
    phases = ("preprocess_ms", "inference_ms", "postprocess_ms", "reply_ms")
    assert [found[phase] for phase in phases] == [21, 100, 34, 5]
    assert sum(found[phase] for phase in phases) == 160
    assert found["volume_ml"] == 8.0


def test_the_table_shows_dice_only_where_it_is_known():
    def text(rows: dict) -> str:
        console = Console(width=100)
        with console.capture() as captured:
            console.print(report_table(rows))
        return captured.get()

    assert "Dice" not in text(facts())
    assert "0.912" in text(facts() | {"dice": 0.9123})
    assert "annotation (version 3)" in text(facts())
