"""Learning of datasets: rules, decisions, rounds, and the versions that serve."""

from __future__ import annotations

from collections.abc import Sequence

from gateway.contract import LearningCalls
from gateway.core.access import Role
from gateway.core.runtime import DeadlineLimits
from gateway.http.rest.examples import LEARNING_RULES
from gateway.http.rest.operations import Operation, contract_operation
from gateway.http.rest.resources.datasets import DATASET_PATH
from sixpoint.v1 import learning_service_pb2 as learning_pb

__all__ = ["learning_operations"]

_LEARNING = f"{DATASET_PATH}/learning"


def learning_operations(calls: LearningCalls, deadlines: DeadlineLimits) -> Sequence[Operation]:
    """The operations on the learning of datasets."""
    return [*_reading(calls, deadlines), *_changes(calls, deadlines)]


def _reading(calls: LearningCalls, deadlines: DeadlineLimits) -> list[Operation]:
    return [
        contract_operation(
            "GET",
            _LEARNING,
            "getLearning",
            "Describe the rules of a dataset's learning, and where it is",
            learning_pb.GetLearningRequest,
            calls.get_learning,
            Role.VIEWER,
            deadlines,
            part="learning",
        ),
        contract_operation(
            "GET",
            f"{_LEARNING}/decisions",
            "listDecisions",
            "List the decisions of a dataset's learning, with figures and reasons",
            learning_pb.ListDecisionsRequest,
            calls.list_decisions,
            Role.VIEWER,
            deadlines,
        ),
    ]


def _changes(calls: LearningCalls, deadlines: DeadlineLimits) -> list[Operation]:
    rules = contract_operation(
        "PUT",
        f"{_LEARNING}/rules",
        "setLearningRules",
        "Set the rules of a dataset's learning",
        learning_pb.SetLearningRulesRequest,
        calls.set_learning_rules,
        Role.ADMIN,
        deadlines,
        in_body=True,
        part="learning",
        example=LEARNING_RULES,
    )
    start = contract_operation(
        "POST",
        f"{_LEARNING}/rounds",
        "startRound",
        "Make a job that does what is due: train and publish, or decide about a trial",
        learning_pb.StartRoundRequest,
        calls.start_round,
        Role.ADMIN,
        deadlines,
        in_body=True,
        part="job",
        example={"by_hand": True},
    )
    promote = contract_operation(
        "POST",
        f"{_LEARNING}/promote",
        "promoteVersion",
        "Make a job that gives a version to a share of the sessions",
        learning_pb.PromoteVersionRequest,
        calls.promote_version,
        Role.ADMIN,
        deadlines,
        in_body=True,
        part="job",
        example={"task": "TASK_ANNOTATION", "version": "7", "share": 1.0},
    )
    roll_back = contract_operation(
        "POST",
        f"{_LEARNING}/rollback",
        "rollBackVersion",
        "Make a job that lets an earlier version serve again",
        learning_pb.RollBackVersionRequest,
        calls.roll_back_version,
        Role.ADMIN,
        deadlines,
        in_body=True,
        part="job",
        example={"task": "TASK_ANNOTATION"},
    )
    return [rules, start, promote, roll_back]
