"""``sixpoint.v1.ModelService``."""

from __future__ import annotations

from typing import Any

import grpc.aio

from gateway.contract import ModelCalls
from gateway.grpc.identity import principal_of
from sixpoint.v1 import model_service_pb2 as model_pb
from sixpoint.v1 import model_service_pb2_grpc as model_grpc

__all__ = ["ModelServicer"]

_Context = grpc.aio.ServicerContext[Any, Any]


class ModelServicer(model_grpc.ModelServiceServicer):
    """``sixpoint.v1.ModelService``.

    Args:
        calls: Carries out the calls.
    """

    def __init__(self, calls: ModelCalls) -> None:
        self._calls = calls

    async def ListModels(self, request: model_pb.ListModelsRequest, context: _Context) -> model_pb.ListModelsResponse:
        """List the models that match all filters that are set."""
        return self._calls.list_models(request, principal_of(context))

    async def GetModel(self, request: model_pb.GetModelRequest, context: _Context) -> model_pb.GetModelResponse:
        """Describe one model."""
        return self._calls.get_model(request, principal_of(context))
