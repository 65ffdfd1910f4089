"""The calls of ``sixpoint.v1.LearningService``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from google.protobuf.struct_pb2 import Struct

from gateway.contract.dataset_messages import time_to_message
from gateway.contract.jobs import job_to_message, read_struct
from gateway.core.access import Principal
from gateway.core.learning import Learning, LearningState, Stage, StoredDecision
from sixpoint.errors import InvalidArgument, Violation
from sixpoint.errors.shortening import quoted
from sixpoint.loop import Task
from sixpoint.v1 import learning_service_pb2 as learning_pb
from sixpoint.v1 import model_service_pb2 as model_pb

__all__ = ["LearningCalls"]

_TASKS: Mapping[Task, model_pb.Task.ValueType] = {
    "annotation": model_pb.TASK_ANNOTATION,
    "segmentation": model_pb.TASK_SEGMENTATION,
}
_STAGES = {
    Stage.WAITING: learning_pb.LEARNING_STAGE_WAITING,
    Stage.TRAINING: learning_pb.LEARNING_STAGE_TRAINING,
    Stage.TRIAL: learning_pb.LEARNING_STAGE_TRIAL,
}


class LearningCalls:
    """The calls of ``sixpoint.v1.LearningService``.

    Args:
        learning: The learning of all datasets.
    """

    def __init__(self, learning: Learning) -> None:
        self._learning = learning

    async def set_learning_rules(
        self, request: learning_pb.SetLearningRulesRequest, principal: Principal
    ) -> learning_pb.SetLearningRulesResponse:
        """Set the rules of a dataset."""
        rules = read_struct(request.rules, field="rules")
        state = await self._learning.set_rules(request.dataset, rules, principal=principal)
        return learning_pb.SetLearningRulesResponse(learning=_state_to_message(state))

    async def get_learning(
        self, request: learning_pb.GetLearningRequest, principal: Principal
    ) -> learning_pb.GetLearningResponse:
        """Return the rules of a dataset, and where its learning is."""
        state = await self._learning.get(request.dataset, principal=principal)
        return learning_pb.GetLearningResponse(learning=_state_to_message(state))

    async def list_decisions(
        self, request: learning_pb.ListDecisionsRequest, principal: Principal
    ) -> learning_pb.ListDecisionsResponse:
        """List the decisions of a dataset."""
        page = await self._learning.decisions(
            request.dataset, principal=principal, size=request.page_size, token=request.page_token
        )
        return learning_pb.ListDecisionsResponse(
            decisions=map(_decision_to_message, page.entries), next_page_token=page.next_token
        )

    async def start_round(
        self, request: learning_pb.StartRoundRequest, principal: Principal
    ) -> learning_pb.StartRoundResponse:
        """Make a job that does what is due."""
        row = await self._learning.start_round(request.dataset, by_hand=request.by_hand, principal=principal)
        return learning_pb.StartRoundResponse(job=job_to_message(row))

    async def promote_version(
        self, request: learning_pb.PromoteVersionRequest, principal: Principal
    ) -> learning_pb.PromoteVersionResponse:
        """Make a job that gives a version to a share of the sessions."""
        row = await self._learning.promote(
            request.dataset,
            task=_read_task(request.task),
            version=_read_version(request.version),
            share=_read_share(request.share),
            principal=principal,
        )
        return learning_pb.PromoteVersionResponse(job=job_to_message(row))

    async def roll_back_version(
        self, request: learning_pb.RollBackVersionRequest, principal: Principal
    ) -> learning_pb.RollBackVersionResponse:
        """Make a job that lets an earlier version serve again."""
        row = await self._learning.roll_back(
            request.dataset,
            task=_read_task(request.task),
            version=_read_version(request.version) if request.version else None,
            principal=principal,
        )
        return learning_pb.RollBackVersionResponse(job=job_to_message(row))


def _read_task(number: int) -> Task:
    for task, value in _TASKS.items():
        if value == number:
            return task
    raise InvalidArgument(
        "no task is named; expected that of the annotation model, or of the segmentation model",
        violations=(Violation("task", "TASK_ANNOTATION or TASK_SEGMENTATION"),),
    )


def _read_version(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) < 10 and int(text)):
        raise InvalidArgument(
            f"{quoted(text)} is no version; expected a number from 1, such as 3",
            violations=(Violation("version", "a number from 1"),),
        )
    return int(text)


def _read_share(share: float) -> float:
    # NaN is refused, too.
    if not 0 <= share <= 1:
        raise InvalidArgument(
            f"a share of {share:g} of the sessions is none; expected 0 to 1, such as 0.2 for a fifth, or 1 for all",
            violations=(Violation("share", "0 to 1"),),
        )
    return share


def _state_to_message(state: LearningState) -> learning_pb.Learning:
    models = [
        learning_pb.ModelLearning(
            task=_TASKS[each.task], model=each.model, stage=_STAGES[each.stage], round=each.round, version=each.version
        )
        for each in state.tasks
    ]
    return learning_pb.Learning(
        rules=_struct(state.rules.content),
        change_time=time_to_message(state.rules.changed),
        changed_by=state.rules.changed_by,
        models=models,
        decision_count=state.decision_count,
    )


def _decision_to_message(stored: StoredDecision) -> learning_pb.Decision:
    decision = stored.decision
    return learning_pb.Decision(
        number=stored.number,
        time=time_to_message(decision.time.timestamp()),
        round=decision.round,
        task=_TASKS[decision.task],
        choice=decision.verdict.choice.value,
        reasons=decision.verdict.reasons,
        version=decision.version,
        started_from=decision.started_from,
        facts=_struct(decision.facts.model_dump(mode="json")),
        rules=_struct(decision.rules.model_dump(mode="json")),
        annotation_digests=decision.annotations,
        record=decision.model_dump_json(exclude={"considered"}),
    )


def _struct(content: Mapping[str, Any]) -> Struct:
    message = Struct()
    message.update(dict(content))
    return message
