"""What is said of an evaluation: means, areas, clicks, seconds; as Markdown, JSON and pictures."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from trainer.evaluation.metrics import Agreement
from trainer.evaluation.plots import write_plots
from trainer.evaluation.protocol import ClickEffect, ScoredAnswer, SkippedStructure, StructureResult
from trainer.evaluation.tables import answers_by_prompt, mean_scores, to_json, to_markdown
from trainer.simulation.click_measures import ClickChange

PHASES = {"queue": 0.0, "inference": 0.05}


def answer(dice: float, *, seconds: float = 0.1, click: ClickEffect | None = None) -> ScoredAnswer:
    return ScoredAnswer(Agreement(dice, dice / 2, 10 * (1 - dice)), seconds, PHASES, click)


def effect(gain: float, *, holds: bool = True, changed: int = 10, far: int = 2, worse: int = 1) -> ClickEffect:
    return ClickEffect((1, 2, 3), True, holds, changed, far, worse, gain, ClickChange(8, 2, (4, 6), (3, 5)))


def judged(group: str, first: float, *, ml: float = 10.0, clicks: bool = True) -> StructureResult:
    corrected = [answer(first + 0.05 * n, seconds=0.2, click=effect(0.05, holds=n > 1)) for n in range(1, 6)]
    return StructureResult(
        group=group,
        name=f"{group} {first}",
        voxels=300,
        ml=ml,
        fill=0.4,
        extent=12,
        model_version="3",
        steps=(answer(first), *(corrected if clicks else [])),
        jittered=answer(first - 0.1),
        box=answer(first - 0.2) if clicks else None,
        baselines={"ellipsoid": answer(0.3, seconds=0.01)},
    )


SOME = [judged("liver", 0.5), judged("liver", 0.7, ml=1500.0), judged("spleen", 0.3)]


def test_columns_are_named_by_what_asked() -> None:
    clicks = ["1 click", "2 clicks", "3 clicks", "4 clicks", "5 clicks"]
    assert list(answers_by_prompt(SOME[0])) == ["points", *clicks, "jittered", "box", "ellipsoid"]
    assert list(answers_by_prompt(judged("liver", 0.5, clicks=False))) == ["points", "jittered", "ellipsoid"]


def test_means_are_of_groups_of_all_of_the_large_and_of_the_groups() -> None:
    table = mean_scores(SOME, "dice")
    assert list(table) == ["liver", "spleen", "all structures", "over 20 ml", "mean of groups"]
    points = {name: row["points"] for name, row in table.items()}
    assert points == pytest.approx(
        {"liver": 0.6, "spleen": 0.3, "all structures": 0.5, "over 20 ml": 0.7, "mean of groups": 0.45}
    )
    assert table["liver"]["jittered"] == pytest.approx(0.5)
    assert table["liver"]["ellipsoid"] == pytest.approx(0.3)


def test_the_area_is_of_the_answers_after_clicks() -> None:
    table = mean_scores(SOME, "dice")
    assert table["spleen"]["AUC"] == pytest.approx(4 * 0.45)
    assert mean_scores(SOME, "nsd")["spleen"]["AUC"] == pytest.approx(2 * 0.45)
    assert "AUC" not in mean_scores(SOME, "hd95_mm")["spleen"]
    assert "AUC" not in mean_scores([judged("liver", 0.5, clicks=False)], "dice")["liver"]


def test_json_has_every_figure_and_is_json() -> None:
    found = json.loads(
        json.dumps(to_json(SOME, [SkippedStructure("liver", "sheet", "flat")], model="annotation"), allow_nan=False)
    )
    assert found["model_version"] == "3"
    assert found["structures"] == {"liver": 2, "spleen": 1, "all structures": 3, "over 20 ml": 1}
    assert found["means"]["dice"]["all structures"]["points"] == 0.5
    assert found["clicks"]["1"]["voxel on its side"] == 0.0
    assert found["clicks"]["2"] == {
        "voxel on its side": 1.0,
        "Dice rose": 1.0,
        "Dice fell": 0.0,
        "mean gain": 0.05,
        "changed far": 0.2,
        "far, for the worse": 0.1,
    }
    measures = found["click_measures"]
    # All three structures have five positive clicks, which correct 8 voxels each, and spoil 2.
    assert measures["all clicks"]["clicks"] == 15
    assert measures["all clicks"]["overshoot per corrected"] == 0.25
    assert measures["fills 33% to 50% of its box"] == measures["positive"] == measures["all clicks"]
    assert "negative" not in measures
    assert found["seconds"]["click"] == {"median": 0.2, "95th percentile": 0.2, "queue": 0.0, "inference": 0.05}
    assert found["cases"][0]["steps"][1]["click"]["point"] == [1, 2, 3]
    assert found["left_out"] == [{"group": "liver", "name": "sheet", "reason": "flat"}]


def test_markdown_has_a_table_for_each_question() -> None:
    text = to_markdown(SOME, [SkippedStructure("liver", "sheet", "flat")], model="annotation")
    titles = ["Dice", "NSD at 2 mm", "HD95 (mm)", "Clicks", "What clicks correct and spoil", "Seconds", "Left out"]
    assert [line.removeprefix("## ") for line in text.splitlines() if line.startswith("## ")] == titles
    assert "| liver | 2 | 0.600 | 0.650 |" in text
    assert "| **over 20 ml** | 1 | 0.700 |" in text
    assert "- liver, sheet: flat" in text


def test_without_clicks_there_is_no_table_of_them() -> None:
    text = to_markdown([judged("liver", 0.5, clicks=False)], [], model="annotation")
    assert "## Clicks" not in text
    assert "## What clicks" not in text


@pytest.mark.parametrize("clicks", [True, False])
def test_plots_are_pictures(tmp_path: Path, clicks: bool) -> None:
    written = write_plots([judged("liver", 0.5, clicks=clicks), judged("spleen", 0.4, clicks=clicks)], tmp_path / "new")
    assert [path.name for path in written] == ["baselines.png", "clicks.png", "jitter.png"]
    for path in written:
        with Image.open(path) as picture:
            assert picture.size[0] > 500
