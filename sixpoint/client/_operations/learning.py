"""The operations on learning: rules, decisions, rounds, and the versions that serve."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from google.protobuf.struct_pb2 import Struct

from sixpoint.client._operations.client import ClientOperations
from sixpoint.client._sansio import Call, Operation
from sixpoint.client.job_models import JobInfo, read_job
from sixpoint.client.learning_models import LearningDecision, LearningInfo, read_decision, read_learning, task_number
from sixpoint.errors import InvalidArgument
from sixpoint.v1 import learning_service_pb2 as learning_pb

__all__ = ["LearningOperations"]

_PAGE_SIZE = 1000


@dataclass(frozen=True)
class LearningOperations:
    """The operations on learning, the same for both drivers.

    Attributes:
        client: The operations of the client.
    """

    client: ClientOperations

    def set_rules(self, dataset: str, rules: Mapping[str, Any]) -> Operation[LearningInfo]:
        """Set the rules of a dataset."""
        message = Struct()
        try:
            message.update(dict(rules))
        except (TypeError, ValueError) as error:
            raise InvalidArgument(f"the rules cannot be sent; expected what JSON has: {error}") from None
        request = learning_pb.SetLearningRulesRequest(dataset=dataset, rules=message)
        response = yield from Call(self.client.stubs.learning.SetLearningRules, request, self.client.timeout.call)
        return read_learning(response.learning)

    def get(self, dataset: str) -> Operation[LearningInfo]:
        """Describe the learning of a dataset."""
        request = learning_pb.GetLearningRequest(dataset=dataset)
        response = yield from Call(self.client.stubs.learning.GetLearning, request, self.client.timeout.call)
        return read_learning(response.learning)

    def decisions(self, dataset: str) -> Operation[list[LearningDecision]]:
        """List the decisions of a dataset in their order."""
        found: list[LearningDecision] = []
        token = ""
        while True:
            request = learning_pb.ListDecisionsRequest(dataset=dataset, page_size=_PAGE_SIZE, page_token=token)
            response = yield from Call(self.client.stubs.learning.ListDecisions, request, self.client.timeout.call)
            found += map(read_decision, response.decisions)
            token = response.next_page_token
            if not token:
                return found

    def start_round(self, dataset: str, *, by_hand: bool) -> Operation[JobInfo]:
        """Make a job that does what is due. It is not repeated: there would be two."""
        request = learning_pb.StartRoundRequest(dataset=dataset, by_hand=by_hand)
        response = yield from Call(
            self.client.stubs.learning.StartRound, request, self.client.timeout.call, repeatable=False
        )
        return read_job(response.job)

    def promote(self, dataset: str, version: str, *, task: str, share: float) -> Operation[JobInfo]:
        """Make a job that gives a version to a share of the sessions."""
        request = learning_pb.PromoteVersionRequest(
            dataset=dataset, task=task_number(task), version=version, share=share
        )
        response = yield from Call(
            self.client.stubs.learning.PromoteVersion, request, self.client.timeout.call, repeatable=False
        )
        return read_job(response.job)

    def roll_back(self, dataset: str, *, task: str, version: str) -> Operation[JobInfo]:
        """Make a job that lets an earlier version serve again."""
        request = learning_pb.RollBackVersionRequest(dataset=dataset, task=task_number(task), version=version)
        response = yield from Call(
            self.client.stubs.learning.RollBackVersion, request, self.client.timeout.call, repeatable=False
        )
        return read_job(response.job)
