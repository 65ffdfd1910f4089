"""``sixpoint.v1.LearningService``."""

from __future__ import annotations

from typing import Any

import grpc.aio

from gateway.contract import LearningCalls
from gateway.grpc.identity import principal_of
from sixpoint.v1 import learning_service_pb2 as learning_pb
from sixpoint.v1 import learning_service_pb2_grpc as learning_grpc

__all__ = ["LearningServicer"]

_Context = grpc.aio.ServicerContext[Any, Any]


class LearningServicer(learning_grpc.LearningServiceServicer):
    """``sixpoint.v1.LearningService``.

    Args:
        calls: Carries out the calls.
    """

    def __init__(self, calls: LearningCalls) -> None:
        self._calls = calls

    async def SetLearningRules(
        self, request: learning_pb.SetLearningRulesRequest, context: _Context
    ) -> learning_pb.SetLearningRulesResponse:
        """Set the rules of a dataset."""
        return await self._calls.set_learning_rules(request, principal_of(context))

    async def GetLearning(
        self, request: learning_pb.GetLearningRequest, context: _Context
    ) -> learning_pb.GetLearningResponse:
        """Return the rules of a dataset, and where its learning is."""
        return await self._calls.get_learning(request, principal_of(context))

    async def ListDecisions(
        self, request: learning_pb.ListDecisionsRequest, context: _Context
    ) -> learning_pb.ListDecisionsResponse:
        """List the decisions of a dataset."""
        return await self._calls.list_decisions(request, principal_of(context))

    async def StartRound(
        self, request: learning_pb.StartRoundRequest, context: _Context
    ) -> learning_pb.StartRoundResponse:
        """Make a job that does what is due."""
        return await self._calls.start_round(request, principal_of(context))

    async def PromoteVersion(
        self, request: learning_pb.PromoteVersionRequest, context: _Context
    ) -> learning_pb.PromoteVersionResponse:
        """Make a job that gives a version to a share of the sessions."""
        return await self._calls.promote_version(request, principal_of(context))

    async def RollBackVersion(
        self, request: learning_pb.RollBackVersionRequest, context: _Context
    ) -> learning_pb.RollBackVersionResponse:
        """Make a job that lets an earlier version serve again."""
        return await self._calls.roll_back_version(request, principal_of(context))
