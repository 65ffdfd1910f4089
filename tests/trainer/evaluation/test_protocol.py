"""The protocol: with a session that plays by a script, and over the real gateway and Triton."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest

from sixpoint._typing import Bools
from sixpoint.client import Client
from sixpoint.geometry import Geometry
from sixpoint.mask import Mask, Timings
from sixpoint.phantom import make_phantom
from sixpoint.prompts import Box, Click, ExtremePoints, Prompt
from sixpoint.volume import Volume
from trainer.data.structures import Structure
from trainer.evaluation.baselines import BASELINES, ellipsoid
from trainer.evaluation.protocol import (
    JITTER_VOXELS,
    SkippedStructure,
    StructureResult,
    evaluate_structure,
    extreme_points,
    next_click,
)
from trainer.simulation.simulated_user import ErrorClick

EVERY_KIND = ("extreme_points", "box", "clicks")


def body() -> Structure:
    """A block of 20 x 16 x 10 voxels (x, y, z) of 1, 1, 2 mm."""
    truth = np.zeros((24, 40, 40), np.bool_)
    truth[6:16, 10:26, 8:28] = True
    geometry = Geometry(size=(40, 40, 24), spacing=(1.0, 1.0, 2.0))
    return Structure("blocks", "block", Volume(truth.astype(np.int16), geometry), truth)


class Scripted:
    """A session that gives one answer after another to points and clicks, and the truth to everything else."""

    def __init__(self, structure: Structure, answers: Sequence[Bools]) -> None:
        self.structure = structure
        self.answers = list(answers)
        self.prompts: list[Prompt] = []

    def annotate(self, *prompts: Prompt) -> Mask:
        (prompt,) = prompts
        self.prompts.append(prompt)
        exact = prompt == ExtremePoints.of_mask(self.structure.truth) or isinstance(prompt, Click)
        array = self.answers.pop(0) if exact else self.structure.truth
        return Mask(array.astype(np.uint8), self.structure.image.geometry, "scripted", "7", 1, Timings(), 0)


def judged(
    structure: Structure, *answers: Bools, prompts: Sequence[str] = EVERY_KIND
) -> tuple[StructureResult, list[Prompt]]:
    session = Scripted(structure, answers)
    one = evaluate_structure(session, structure, prompts=prompts, baselines={"ellipsoid": ellipsoid})
    assert isinstance(one, StructureResult)
    return one, session.prompts


def without(truth: Bools, *parts: slice) -> Bools:
    rest = truth.copy()
    rest[parts] = False
    return rest


def test_after_the_points_each_click_is_in_the_middle_of_the_largest_error() -> None:
    one = body()
    first = without(one.truth, slice(None), slice(None), slice(22, 28))
    second = one.truth | np.roll(one.truth, 14, axis=1)
    found, prompts = judged(one, first, second, one.truth)
    assert [type(prompt) for prompt in prompts] == [Box, ExtremePoints, ExtremePoints, Click, Click]
    missing, excess = prompts[3], prompts[4]
    assert isinstance(missing, Click)
    assert isinstance(excess, Click)
    assert missing.positive
    assert not excess.positive
    assert one.truth[tuple(int(n) for n in missing.point[::-1])]
    assert (second & ~one.truth)[tuple(int(n) for n in excess.point[::-1])]
    assert [step.agreement.dice for step in found.steps][2:] == [1.0] * 4
    # Nothing was left to correct: the answer stays, and nobody was asked.
    assert [step.click is not None for step in found.steps] == [False, True, True, False, False, False]
    assert found.model_version == "7"
    assert found.ml == pytest.approx(6.4)


def test_a_click_is_known_by_what_it_did() -> None:
    one = body()
    end = (slice(None), slice(None), slice(24, 28))
    # The click brings back the missing end, and loses a corner at the other one, 40 voxels.
    corner = without(one.truth, slice(6, 16), slice(10, 12), slice(8, 10))
    found, _ = judged(one, without(one.truth, *end), corner, one.truth)
    effect, last = found.steps[1].click, found.steps[2].click
    assert effect is not None
    assert effect.positive
    assert effect.holds
    assert effect.changed == 640 + 40
    assert effect.gain == pytest.approx(found.steps[1].agreement.dice - found.steps[0].agreement.dice)
    # Beyond 5 mm, a quarter of the box's 20 mm, lie all that was lost and some of what was gained.
    assert effect.far_worse == 40
    assert effect.far > 40
    assert last is not None
    assert last.changed == 40
    assert last.far_worse == 0


def test_a_click_that_is_not_obeyed_does_not_hold() -> None:
    one = body()
    same = without(one.truth, slice(None), slice(None), slice(22, 28))
    found, _ = judged(one, *[same] * 6)
    effects = [step.click for step in found.steps[1:]]
    assert all(effect is not None and not effect.holds and effect.changed == 0 for effect in effects)


def test_a_model_that_takes_points_alone_is_asked_for_nothing_else() -> None:
    one = body()
    found, prompts = judged(one, one.truth, prompts=("extreme_points",))
    assert [type(prompt) for prompt in prompts] == [ExtremePoints, ExtremePoints]
    assert len(found.steps) == 1
    assert found.box is None


def test_points_are_jittered_by_the_case_and_stay_in_the_image() -> None:
    one = body()
    exact = np.array(ExtremePoints.of_mask(one.truth).points)
    moved = np.array(extreme_points(one, jitter=JITTER_VOXELS).points)
    assert np.array_equal(moved, np.array(extreme_points(one, jitter=JITTER_VOXELS).points))
    assert 0 < np.abs(moved - exact).max() <= JITTER_VOXELS
    whole = Structure("a", "b", one.image, np.ones_like(one.truth))
    points = np.array(extreme_points(whole, jitter=JITTER_VOXELS).points)
    assert (points >= 0).all()
    assert (points < one.image.geometry.size).all()


def test_jitter_never_makes_points_that_no_gateway_takes() -> None:
    for number in range(30):
        truth = np.zeros((24, 40, 40), np.bool_)
        truth[3:5, 10:26, 8:28] = True
        one = Structure("thin", str(number), body().image, truth)
        points = extreme_points(one, jitter=JITTER_VOXELS).to_index(one.image.geometry)
        assert np.ptp(points, axis=0).min() > 0


def test_what_six_points_cannot_describe_is_left_out_and_says_why() -> None:
    truth = np.zeros((24, 40, 40), np.bool_)
    truth[4, 5:30, 5:30] = True
    one = Structure("thin", "sheet", body().image, truth)
    found = evaluate_structure(Scripted(one, []), one, prompts=EVERY_KIND, baselines={})
    assert isinstance(found, SkippedStructure)
    assert "in one plane" in found.reason


def test_the_next_click_is_the_same_in_a_large_image() -> None:
    one = body()
    answer = without(one.truth, slice(None), slice(None), slice(22, 28))
    click = next_click(one.truth, answer)
    around = [np.pad(mask, 40) for mask in (one.truth, answer)]
    moved = next_click(*around)
    assert click is not None
    assert moved == ErrorClick(tuple(n + 40 for n in click.point), positive=True)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def spleen() -> Structure:
    phantom = make_phantom()
    return Structure("phantom", "spleen", phantom.image, phantom.mask("spleen") > 0)


def test_the_shipped_model_over_the_real_gateway(address: str, spleen: Structure) -> None:
    with Client(address) as client, client.open_session(spleen.image) as session:
        info = next(model for model in client.models() if model.name == "annotation")
        found = evaluate_structure(session, spleen, prompts=info.prompts, baselines=BASELINES)
    assert isinstance(found, StructureResult)
    assert found.steps[0].agreement.dice > 0.75
    assert found.steps[0].agreement.nsd > 0.3
    assert found.jittered.agreement.dice > 0.6
    assert found.steps[0].seconds >= sum(found.steps[0].phases.values())
    assert set(found.baselines) == set(BASELINES)
    assert all(answer.agreement.dice > 0.5 for answer in found.baselines.values())


def test_every_step_with_a_model_that_takes_clicks(address: str, spleen: Structure) -> None:
    shown: list[Sequence[ErrorClick]] = []
    on_result: Callable[..., None] = lambda *given: shown.append(given[3])  # noqa: E731
    with Client(address) as client, client.open_session(spleen.image, model="clicks") as session:
        found = evaluate_structure(session, spleen, prompts=EVERY_KIND, baselines={}, on_result=on_result)
    assert isinstance(found, StructureResult)
    effects = [step.click for step in found.steps[1:]]
    assert all(effect is not None and effect.holds for effect in effects)
    assert [effect.point for effect in effects if effect] == [click.point for click in shown[0]]
    # Its answer is the ellipsoid of the box, whichever way that was shown, and what clicks add to it.
    assert found.box is not None
    assert found.box.agreement.dice == pytest.approx(found.steps[0].agreement.dice, abs=0.01)
    assert found.steps[5].agreement.dice > found.steps[0].agreement.dice
