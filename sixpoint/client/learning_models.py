"""The learning of datasets, as the gateway describes it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from google.protobuf import json_format

from sixpoint.errors import InvalidArgument
from sixpoint.errors.shortening import quoted
from sixpoint.v1 import learning_service_pb2 as learning_pb
from sixpoint.v1 import model_service_pb2 as model_pb

__all__ = ["LearningDecision", "LearningInfo", "ModelLearning", "read_decision", "read_learning", "task_number"]

_STAGE = "LEARNING_STAGE_"
_TASK = "TASK_"
_TASKS = ("annotation", "segmentation")


@dataclass(frozen=True)
class ModelLearning:
    """Where the learning of one model is.

    Attributes:
        task: "annotation" or "segmentation".
        model: Name of the model.
        stage: "waiting", "training" or "trial".
        round: Number of its last round; 0 before the first.
        version: Version that was published last; empty if none.
    """

    task: str
    model: str
    stage: str
    round: int
    version: str


@dataclass(frozen=True)
class LearningInfo:
    """The learning of a dataset.

    Attributes:
        rules: Rules in force, defaults included.
        changed: Time when they were set.
        changed_by: Name of the person who set them.
        models: Where the learning of each model is that the rules name.
        decision_count: Number of decisions.
    """

    rules: Mapping[str, Any]
    changed: datetime
    changed_by: str
    models: tuple[ModelLearning, ...]
    decision_count: int


@dataclass(frozen=True)
class LearningDecision:
    """A decision. The same rules and figures always give the same one.

    Attributes:
        number: 1, 2, 3, ... of each dataset.
        time: Time of the decision.
        round: Number of the round, from 1.
        task: Task of the model that it is about.
        choice: "train", "publish", "refuse", "promote" or "end trial".
        reasons: A sentence for each rule that led to it.
        version: Version that it is about; empty if none.
        started_from: Version that the training started from, or that it is compared with; empty if none.
        facts: Figures that it was made of.
        rules: Rules that were in force.
        annotation_digests: SHA-256 of the annotations that were learnt from.
        record: The decision as JSON, in the order in which it was recorded: :class:`sixpoint.loop.Decision` reads it.
    """

    number: int
    time: datetime
    round: int
    task: str
    choice: str
    reasons: tuple[str, ...]
    version: str
    started_from: str
    facts: Mapping[str, Any]
    rules: Mapping[str, Any]
    annotation_digests: tuple[str, ...]
    record: str


def read_learning(message: learning_pb.Learning) -> LearningInfo:
    """Read the learning of a dataset."""
    models = tuple(
        ModelLearning(
            task=_task_name(each.task),
            model=each.model,
            stage=learning_pb.LearningStage.Name(each.stage).removeprefix(_STAGE).lower(),
            round=each.round,
            version=each.version,
        )
        for each in message.models
    )
    return LearningInfo(
        rules=json_format.MessageToDict(message.rules),
        changed=message.change_time.ToDatetime(UTC),
        changed_by=message.changed_by,
        models=models,
        decision_count=message.decision_count,
    )


def read_decision(message: learning_pb.Decision) -> LearningDecision:
    """Read a decision."""
    return LearningDecision(
        number=message.number,
        time=message.time.ToDatetime(UTC),
        round=message.round,
        task=_task_name(message.task),
        choice=message.choice,
        reasons=tuple(message.reasons),
        version=message.version,
        started_from=message.started_from,
        facts=json_format.MessageToDict(message.facts),
        rules=json_format.MessageToDict(message.rules),
        annotation_digests=tuple(message.annotation_digests),
        record=message.record,
    )


def task_number(task: str) -> model_pb.Task.ValueType:
    """The number of a task in the contract.

    Raises:
        InvalidArgument: There is no such task.
    """
    if task not in _TASKS:
        raise InvalidArgument(f"no model learns the task {quoted(task)}; expected {' or '.join(_TASKS)}")
    return model_pb.Task.Value(f"{_TASK}{task.upper()}")


def _task_name(number: model_pb.Task.ValueType) -> str:
    return model_pb.Task.Name(number).removeprefix(_TASK).lower()
