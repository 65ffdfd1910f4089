"""The rules decide alone: the same figures give the same verdict, and what is worse never gets sessions."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sixpoint.errors import DatasetError
from sixpoint.loop import DECISIONS, Choice, Decision, Rules, append_decision, decide, read_decisions, replay
from sixpoint.loop.decisions import PublishFacts, TrainFacts, TrialFacts, Work
from sixpoint.loop.rules import Gates, TrainRules, TrialRules

RULES = Rules(
    modality="CT",
    train=TrainRules(new_accepted=5, after_days=7, minimum=3),
    gates=Gates(may_fall=0.02, must_rise=0.01),
    trial=TrialRules(masks=10, more_corrections=0.5, days=30),
)


@pytest.mark.parametrize(
    ("accepted", "new", "days", "by_hand", "choice"),
    [
        (10, 5, 0.0, False, Choice.TRAIN),
        (10, 4, 6.9, False, Choice.WAIT),
        (10, 1, 7.0, False, Choice.TRAIN),
        (10, 0, 0.0, False, Choice.WAIT),
        (10, 0, 0.0, True, Choice.TRAIN),
        (2, 2, 9.0, True, Choice.WAIT),
    ],
)
def test_when_a_training_begins(accepted: int, new: int, days: float, by_hand: bool, choice: Choice) -> None:
    facts = TrainFacts(accepted=accepted, new=new, waiting_days=days, by_hand=by_hand)
    assert decide(RULES, facts).choice is choice


@pytest.mark.parametrize(
    ("start", "trained", "reason"),
    [
        ({"dice": 0.80, "dice_liver": 0.80}, {"dice": 0.82, "dice_liver": 0.79}, ""),
        (
            {"dice": 0.80, "dice_liver": 0.80},
            {"dice": 0.85, "dice_liver": 0.77},
            "dice_liver fell from 0.8000 to 0.7700",
        ),
        ({"dice": 0.80}, {"dice": 0.805}, "dice rose by 0.0050, needed is 0.01"),
        # After clicks it is better: that counts, too.
        ({"dice": 0.80, "dice_clicks_3": 0.85}, {"dice": 0.80, "dice_clicks_3": 0.87}, ""),
        ({"dice": 0.80, "dice_ellipsoid": 0.9}, {"dice": 0.85, "dice_ellipsoid": 0.1}, ""),
        ({}, {"dice": 0.9}, "nothing was measured on held-out cases"),
        ({"dice": 0.1}, {}, "nothing was measured on held-out cases"),
    ],
)
def test_what_may_be_published(start: Mapping[str, float], trained: Mapping[str, float], reason: str) -> None:
    verdict = decide(RULES, PublishFacts(start=start, trained=trained))
    assert verdict.choice is (Choice.REFUSE if reason else Choice.PUBLISH)
    assert reason in "; ".join(verdict.reasons)


@pytest.mark.parametrize(
    ("trained", "reason"),
    [
        ({"dice": 0.7, "dice_liver": 0.7}, ""),
        ({"dice": 0.59}, "dice is 0.5900, a first version needs 0.6"),
        ({}, "nothing"),
    ],
)
def test_a_first_version_has_none_to_be_compared_with(trained: Mapping[str, float], reason: str) -> None:
    verdict = decide(RULES, PublishFacts(trained=trained, first=True))
    assert verdict.choice is (Choice.REFUSE if reason else Choice.PUBLISH)
    assert reason in "; ".join(verdict.reasons)


@pytest.mark.parametrize(("seconds", "choice"), [(1.5, Choice.PUBLISH), (1.51, Choice.REFUSE)])
def test_what_takes_too_long_is_not_published(seconds: float, choice: Choice) -> None:
    facts = PublishFacts(start={"dice": 0.5}, trained={"dice": 0.9}, seconds={"start": 1.0, "trained": seconds})
    assert decide(RULES, facts).choice is choice
    allowed = RULES.model_copy(update={"gates": Gates(may_slow=None)})
    assert decide(allowed, facts).choice is Choice.PUBLISH


def test_what_a_program_refused_is_not_published() -> None:
    verdict = decide(RULES, PublishFacts(start={"dice": 0.1}, trained={"dice": 0.9}, refusal="exporter: no parity"))
    assert (verdict.choice, verdict.reasons) == (Choice.REFUSE, ("exporter: no parity",))


@pytest.mark.parametrize(
    ("serving", "candidate", "days", "choice"),
    [
        (Work(masks=10, corrections=3.0), Work(masks=10, corrections=2.0), 1, Choice.PROMOTE),
        (Work(masks=10, corrections=3.0), Work(masks=10, corrections=3.5), 1, Choice.PROMOTE),
        (Work(masks=10, corrections=3.0), Work(masks=10, corrections=3.6), 1, Choice.END_TRIAL),
        (Work(masks=50, corrections=3.0), Work(masks=9, corrections=0.0), 29, Choice.WAIT),
        (Work(masks=50, corrections=3.0), Work(masks=9, corrections=0.0), 30, Choice.END_TRIAL),
    ],
)
def test_how_a_trial_ends(serving: Work, candidate: Work, days: float, choice: Choice) -> None:
    assert decide(RULES, TrialFacts(serving=serving, candidate=candidate, days=days)).choice is choice


@pytest.mark.parametrize(("state", "choice"), [("serving", Choice.PROMOTE), ("kept", Choice.END_TRIAL)])
def test_a_trial_that_is_over_is_recorded_as_it_ended(state: str, choice: Choice) -> None:
    # The figures alone say the opposite, or nothing yet.
    worse = TrialFacts(serving=Work(masks=10), candidate=Work(masks=10, corrections=9.0), days=1, state=state)
    assert decide(RULES, worse).choice is choice
    assert decide(RULES, TrialFacts(serving=Work(), candidate=Work(), days=0, state=state)).choice is choice


def decision(number: int, facts: TrainFacts | PublishFacts | TrialFacts) -> Decision:
    return Decision(
        time=datetime(2026, 1, 1, tzinfo=UTC),
        round=number,
        rules=RULES,
        facts=facts,
        verdict=decide(RULES, facts),
        annotations=("a" * 64,),
    )


DICE = st.floats(min_value=0, max_value=1)
FACTS = st.one_of(
    st.builds(
        TrainFacts,
        accepted=st.integers(0, 20),
        new=st.integers(0, 20),
        waiting_days=st.floats(0, 20),
        by_hand=st.booleans(),
    ),
    st.builds(
        PublishFacts,
        start=st.dictionaries(st.sampled_from(["dice", "dice_clicks_1", "dice_liver"]), DICE),
        trained=st.dictionaries(st.sampled_from(["dice", "dice_clicks_1", "dice_liver"]), DICE),
        refusal=st.sampled_from(["", "no"]),
    ),
    st.builds(
        TrialFacts,
        serving=st.builds(Work, masks=st.integers(0, 20), corrections=st.floats(0, 9)),
        candidate=st.builds(Work, masks=st.integers(0, 20), corrections=st.floats(0, 9)),
        days=st.floats(0, 60),
    ),
)


@given(facts=FACTS)
def test_a_decision_that_was_written_and_read_is_made_again(facts: TrainFacts | PublishFacts | TrialFacts) -> None:
    recorded = Decision.model_validate_json(decision(1, facts).model_dump_json())
    assert recorded == decision(1, facts)
    assert replay([recorded]) == []


def test_a_decision_whose_figures_were_changed_is_noticed() -> None:
    honest = decision(2, PublishFacts(start={"dice": 0.8}, trained={"dice": 0.7}))
    forged = honest.model_copy(
        update={"verdict": decide(RULES, PublishFacts(start={"dice": 0.1}, trained={"dice": 1}))}
    )
    (sentence,) = replay([honest, forged])
    assert sentence.startswith("round 2, publish: recorded was publish")


def test_the_record_is_appended_to_and_a_torn_line_is_none(tmp_path: Path) -> None:
    assert read_decisions(tmp_path) == []
    first, second = (
        decision(number, TrainFacts(accepted=9, new=9, waiting_days=0, by_hand=False)) for number in (1, 2)
    )
    append_decision(tmp_path, first)
    with (tmp_path / DECISIONS).open("ab") as file:
        file.write(second.model_dump_json().encode()[:40])
    assert read_decisions(tmp_path) == [first]
    append_decision(tmp_path, second)
    assert read_decisions(tmp_path) == [first, second]
    (tmp_path / DECISIONS).write_text("{}\n")
    with pytest.raises(DatasetError, match=r"line 1 of .* is damaged"):
        read_decisions(tmp_path)
