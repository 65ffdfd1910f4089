"""Records of learning."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sixpoint.loop import Decision, Task

__all__ = ["LearningState", "Stage", "StoredDecision", "StoredRules", "TaskState"]


@dataclass(frozen=True)
class StoredRules:
    """The rules of a dataset.

    Attributes:
        content: The rules, as :class:`sixpoint.loop.Rules` takes them.
        changed: Time when they were set, seconds since 1970, UTC.
        changed_by: Subject that set them.
    """

    content: Mapping[str, Any]
    changed: float
    changed_by: str


@dataclass(frozen=True)
class StoredDecision:
    """A decision in the record of a dataset.

    Attributes:
        number: 1, 2, 3, ... of each dataset.
        decision: The decision.
    """

    number: int
    decision: Decision


class Stage(enum.StrEnum):
    """Where the learning of a model is."""

    WAITING = "waiting"
    """It waits for annotations."""
    TRAINING = "training"
    """A round has begun, and has not ended."""
    TRIAL = "trial"
    """A version is on trial."""


@dataclass(frozen=True)
class TaskState:
    """Where the learning of one model is.

    Attributes:
        task: Task of the model.
        model: Name of the model.
        stage: Where it is.
        round: Number of its last round; 0 before the first.
        version: Version that the last round published; empty if none.
    """

    task: Task
    model: str
    stage: Stage
    round: int = 0
    version: str = ""


@dataclass(frozen=True)
class LearningState:
    """Where the learning of a dataset is.

    Attributes:
        rules: Rules in force.
        tasks: Where the learning of each model is that the rules name.
        decision_count: Number of decisions in the record.
    """

    rules: StoredRules
    tasks: tuple[TaskState, ...]
    decision_count: int
