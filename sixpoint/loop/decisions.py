"""Decisions of a loop: pure functions of the rules and of figures, so that a recorded decision can be made again."""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field

from sixpoint.loop.rules import Rules, Task

__all__ = ["Choice", "Decision", "Kind", "PublishFacts", "TrainFacts", "TrialFacts", "Verdict", "decide", "replay"]

_MAIN = ("dice", "dice_clicks_1", "dice_clicks_2", "dice_clicks_3")
"""Figures of which one must rise: the mean Dice of the first answers, and after clicks."""
_BASELINE = "dice_ellipsoid"


class Kind(enum.StrEnum):
    """What is decided."""

    TRAIN = "train"
    PUBLISH = "publish"
    TRIAL = "trial"


class Choice(enum.StrEnum):
    """What was chosen."""

    WAIT = "wait"
    TRAIN = "train"
    PUBLISH = "publish"
    REFUSE = "refuse"
    PROMOTE = "promote"
    END_TRIAL = "end trial"


class _Facts(BaseModel):
    model_config: ClassVar[ConfigDict] = ConfigDict(frozen=True, extra="ignore")


class TrainFacts(_Facts):
    """What the decision to train is made of.

    Attributes:
        kind: "train".
        accepted: Number of images whose latest annotation is accepted, without those for the test.
        new: Number of these that no training has had.
        waiting_days: Days since the oldest of the new ones was saved.
        by_hand: Whether a person asked for it.
    """

    kind: Literal["train"] = "train"
    accepted: int
    new: int
    waiting_days: float
    by_hand: bool


class PublishFacts(_Facts):
    """What the decision to publish is made of.

    Attributes:
        kind: "publish".
        start: Figures on the held-out cases of the version that was started from.
        trained: Figures of the new version on the same cases.
        refusal: Sentence in which trainer or exporter refused, as for its parity; empty if neither did.
        first: Whether it is the first version of its model, which has none to be compared with.
        seconds: What "start" and "trained" take in Triton; empty if it was not measured.
    """

    kind: Literal["publish"] = "publish"
    start: Mapping[str, float] = {}
    trained: Mapping[str, float] = {}
    refusal: str = ""
    first: bool = False
    seconds: Mapping[str, float] = {}


class Work(_Facts):
    """What people did with a version.

    Attributes:
        masks: Number of accepted masks.
        corrections: Corrections per accepted mask.
        seconds: Seconds of work per accepted mask.
    """

    masks: int = 0
    corrections: float = 0.0
    seconds: float = 0.0


class TrialFacts(_Facts):
    """What the decision about a trial is made of.

    Attributes:
        kind: "trial".
        serving: Work with the version that serves, since the trial began.
        candidate: Work with the version on trial.
        days: Days since the trial began.
        state: What the version on trial does now: "candidate" while it is on trial, "serving" where it was promoted,
            anything else where its trial was ended, by hand or by a call that was killed before it recorded so.
    """

    kind: Literal["trial"] = "trial"
    serving: Work
    candidate: Work
    days: float
    state: str = "candidate"


Facts = Annotated[TrainFacts | PublishFacts | TrialFacts, Field(discriminator="kind")]


class Verdict(BaseModel):
    """A choice, and why.

    Attributes:
        choice: What was chosen.
        reasons: One sentence for each rule that led to it.
    """

    model_config: ClassVar[ConfigDict] = ConfigDict(frozen=True)

    choice: Choice
    reasons: tuple[str, ...]


class Decision(BaseModel):
    """A recorded decision.

    Attributes:
        time: Time of the decision.
        round: Number of the round, from 1.
        rules: Rules that were in force.
        facts: Figures that it was made of.
        verdict: The choice, and why.
        version: Version of the model that it is about; empty if none.
        started_from: Version that the training started from, or that it is compared with; empty if none.
        annotations: SHA-256 of the annotations that were learnt from, or chosen by.
        considered: All annotations that were accepted then, also those that an export leaves out: the SHA-256 of the
            image, a slash, and that of the annotation. Older records have the latter alone.
        task: Task of the model that it is about.
    """

    model_config: ClassVar[ConfigDict] = ConfigDict(frozen=True)

    time: datetime
    round: int
    rules: Rules
    facts: Facts
    verdict: Verdict
    version: str = ""
    started_from: str = ""
    annotations: tuple[str, ...] = ()
    considered: tuple[str, ...] = ()
    task: Task = "annotation"


def decide(rules: Rules, facts: TrainFacts | PublishFacts | TrialFacts) -> Verdict:
    """Decide by the rules. The same rules and figures always give the same verdict."""
    match facts:
        case TrainFacts():
            return _decide_training(rules, facts)
        case PublishFacts():
            return _decide_publishing(rules, facts)
        case TrialFacts():
            return _decide_trial(rules, facts)


def replay(decisions: Sequence[Decision]) -> list[str]:
    """Make recorded decisions again; one sentence for each that would be another one."""
    different = []
    for decision in decisions:
        again = decide(decision.rules, decision.facts)
        if again != decision.verdict:
            different.append(
                f"round {decision.round}, {decision.facts.kind}: recorded was {decision.verdict.choice.value} "
                f"({'; '.join(decision.verdict.reasons)}), and its figures give {again.choice.value} "
                f"({'; '.join(again.reasons)})"
            )
    return different


def _decide_training(rules: Rules, facts: TrainFacts) -> Verdict:
    train = rules.train
    if facts.accepted < train.minimum:
        return _verdict(Choice.WAIT, f"{facts.accepted} accepted annotations, {train.minimum} are needed")
    if facts.by_hand:
        return _verdict(Choice.TRAIN, f"asked for by hand, with {facts.accepted} accepted annotations")
    if facts.new >= train.new_accepted:
        return _verdict(Choice.TRAIN, f"{facts.new} new accepted annotations, {train.new_accepted} were waited for")
    if train.after_days is not None and facts.new and facts.waiting_days >= train.after_days:
        return _verdict(
            Choice.TRAIN,
            f"a new accepted annotation waits for {facts.waiting_days:.1f} days, allowed {train.after_days:g}",
        )
    return _verdict(Choice.WAIT, f"{facts.new} new accepted annotations, {train.new_accepted} are waited for")


def _decide_publishing(rules: Rules, facts: PublishFacts) -> Verdict:
    if facts.refusal:
        return _verdict(Choice.REFUSE, facts.refusal)
    gates = rules.gates
    if facts.first:
        return _decide_first(rules, facts)
    names = [name for name in facts.trained if name in facts.start and name.startswith("dice") and name != _BASELINE]
    if not names:
        return _verdict(
            Choice.REFUSE, "nothing was measured on held-out cases, so that nothing says whether it is better"
        )
    reasons = [
        f"{name} fell from {facts.start[name]:.4f} to {facts.trained[name]:.4f}, allowed is {gates.may_fall:g}"
        for name in names
        if round(facts.start[name] - facts.trained[name], 6) > gates.may_fall
    ]
    rises = {name: round(facts.trained[name] - facts.start[name], 6) for name in _MAIN if name in names}
    if rises and max(rises.values()) < gates.must_rise:
        best = max(rises, key=lambda name: rises[name])
        reasons.append(
            f"{best} rose by {rises[best]:.4f}, needed is {gates.must_rise:g}, and nothing else rose by more"
        )
    slower = _slower(facts, gates.may_slow)
    if reasons or slower:
        return _verdict(Choice.REFUSE, *reasons, *slower)
    return _verdict(Choice.PUBLISH, *(f"{name} {facts.start[name]:.4f} -> {facts.trained[name]:.4f}" for name in names))


def _decide_first(rules: Rules, facts: PublishFacts) -> Verdict:
    dice, needed = facts.trained.get("dice"), rules.gates.first_dice
    if dice is None:
        return _verdict(Choice.REFUSE, "nothing was measured on held-out cases, so that nothing says how good it is")
    if dice < needed:
        return _verdict(Choice.REFUSE, f"dice is {dice:.4f}, a first version needs {needed:g}")
    return _verdict(Choice.PUBLISH, *(f"{name} {value:.4f}" for name, value in facts.trained.items()))


def _slower(facts: PublishFacts, may_slow: float | None) -> list[str]:
    start, trained = facts.seconds.get("start"), facts.seconds.get("trained")
    if may_slow is None or start is None or trained is None or trained <= may_slow * start:
        return []
    return [
        f"it takes {trained:.4g} s in Triton, the version before {start:.4g} s; allowed is {may_slow:g} times as long"
    ]


def _decide_trial(rules: Rules, facts: TrialFacts) -> Verdict:
    trial = rules.trial
    if facts.state == "serving":
        return _verdict(Choice.PROMOTE, "it serves already: by hand, or by a call that ended before it recorded so")
    if facts.state != "candidate":
        return _verdict(
            Choice.END_TRIAL,
            f"it is on trial no more ({facts.state}): by hand, or by a call that ended before it recorded so",
        )
    fewest = min(facts.serving.masks, facts.candidate.masks)
    if fewest < trial.masks:
        text = (
            f"accepted masks: {facts.candidate.masks} with the candidate, {facts.serving.masks} with the other version"
        )
        if trial.days is not None and facts.days >= trial.days:
            return _verdict(Choice.END_TRIAL, f"{text}, after {facts.days:.1f} days; {trial.masks} of each are needed")
        return _verdict(Choice.WAIT, f"{text}; {trial.masks} of each are waited for")
    reason = (
        f"corrections per accepted mask: {facts.candidate.corrections:.2f} with the candidate, "
        f"{facts.serving.corrections:.2f} with the other version"
    )
    worse = round(facts.candidate.corrections - facts.serving.corrections, 6) > trial.more_corrections
    return _verdict(Choice.END_TRIAL if worse else Choice.PROMOTE, reason)


def _verdict(choice: Choice, *reasons: str) -> Verdict:
    return Verdict(choice=choice, reasons=reasons)
