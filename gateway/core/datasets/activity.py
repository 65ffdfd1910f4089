"""How much work a session was: prompts in force, the model that answered, and seconds."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from gateway.core.sessions import StepRow

__all__ = ["MAX_PAUSE_S", "Activity", "active_seconds", "summarise"]

MAX_PAUSE_S = 60.0
"""A longer pause counts as this: the annotator was away."""


@dataclass(frozen=True)
class Activity:
    """The work in a session.

    Attributes:
        prompt_count: Number of prompts in force.
        model: Name of the model that answered; empty if several did, or none.
        model_version: Version of that model; empty if several answered, or none.
        seconds: Seconds of work: see :func:`active_seconds`.
    """

    prompt_count: int
    model: str
    model_version: str
    seconds: float


def active_seconds(times: Iterable[float], *, end: float) -> float:
    """Seconds between the first of several moments and the end, where a pause counts as at most a minute.

    Args:
        times: Moments of steps, seconds since 1970.
        end: Moment of saving, seconds since 1970.
    """
    moments = sorted([*(moment for moment in times if moment <= end), end])
    return sum(min(later - earlier, MAX_PAUSE_S) for earlier, later in itertools.pairwise(moments))


def summarise(steps: Sequence[tuple[StepRow, bool]], *, end: float) -> Activity:
    """Summarise the steps of a session.

    Args:
        steps: Steps of all segments, and whether each is in force.
        end: Moment of saving, seconds since 1970.
    """
    in_force = [step for step, counts in steps if counts]
    models = {(step.model, step.model_version) for step in in_force if step.model}
    model, version = models.pop() if len(models) == 1 else ("", "")
    # Undone steps were work, too.
    seconds = active_seconds((step.created for step, _ in steps), end=end)
    return Activity(sum(len(step.prompts) for step in in_force), model, version, seconds)
