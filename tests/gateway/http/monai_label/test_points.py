"""The forms in which clients send points, and what they become."""

from __future__ import annotations

import pytest

from gateway.http.monai_label.points import read_points
from gateway.http.windows.points import ClientPoints, plan_prompts
from sixpoint.errors import PromptError, TaskNotSupported
from sixpoint.model_spec import ModelSpec, PromptKind
from sixpoint.prompts import Box, Click, ExtremePoints
from tests.support.models import ELLIPSOID_SPEC

IN, OUT = [[float(n), 2.0, 3.0] for n in range(8)], [[9.0, 9.0, 9.0]]
FOREGROUND, BACKGROUND = tuple((x, y, z) for x, y, z in IN), tuple((x, y, z) for x, y, z in OUT)


@pytest.mark.parametrize(
    "params",
    [
        {"label": "liver", "foreground": IN, "background": OUT},
        {"label": "liver", "liver": IN, "background": OUT},
        {"label": "liver", "points": IN + OUT, "point_labels": [1] * 8 + [0]},
        {"label": "liver", "liver": IN, "spleen": OUT, "background": OUT},
    ],
    ids=["deepgrow", "deepedit", "vista3d", "several"],
)
def test_all_forms_mean_the_same(params: dict[str, object]) -> None:
    assert read_points(params, spec=ELLIPSOID_SPEC) == ClientPoints("liver", FOREGROUND, BACKGROUND)


def test_without_a_label_it_is_the_only_one_with_points() -> None:
    spec = ELLIPSOID_SPEC.model_copy(update={"labels": ("liver", "spleen")})
    assert read_points({"liver": [], "spleen": IN}, spec=spec).label == "spleen"
    assert read_points({"foreground": IN}, spec=spec).label == "liver"
    with pytest.raises(PromptError, match="points of 2 objects"):
        read_points({"liver": IN, "spleen": IN}, spec=spec)


def plan(spec: ModelSpec, **points: object) -> list[object]:
    return list(plan_prompts(read_points(points, spec=spec), spec=spec, model="m"))


def test_the_first_six_are_extreme_points_and_all_others_clicks() -> None:
    clicks = [Click(FOREGROUND[6]), Click(FOREGROUND[7]), Click(BACKGROUND[0], False)]
    assert plan(ELLIPSOID_SPEC, foreground=IN, background=OUT) == [ExtremePoints(FOREGROUND[:6]), *clicks]
    assert plan(ELLIPSOID_SPEC, foreground=IN[:5], background=OUT) == []


def test_a_box_begins_an_object_where_the_model_takes_it() -> None:
    spec = ELLIPSOID_SPEC.model_copy(update={"prompts": (PromptKind.BOX, PromptKind.CLICKS)})
    box = Box((1, 2, 3), (4, 5, 6))
    assert plan(spec, foreground=IN[:1], roi=[1, 4, 2, 5, 3, 6]) == [box, Click(FOREGROUND[0])]
    with pytest.raises(TaskNotSupported, match="cannot begin an object"):
        plan(spec, foreground=IN)


def test_models_that_take_clicks_only_begin_with_the_first_one() -> None:
    spec = ELLIPSOID_SPEC.model_copy(update={"prompts": (PromptKind.CLICKS,)})
    assert plan(spec, foreground=IN[:1]) == [Click(FOREGROUND[0])]
