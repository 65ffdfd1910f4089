"""``sixpoint.v1.ModelService``."""

from __future__ import annotations

from typing import Any

import grpc.aio

from gateway.core.runtime import Catalog
from gateway.grpc.identity import principal_of
from sixpoint.protocol import model_to_message
from sixpoint.v1 import model_service_pb2 as model_pb
from sixpoint.v1 import model_service_pb2_grpc as model_grpc

__all__ = ["ModelServicer"]

_Context = grpc.aio.ServicerContext[Any, Any]


class ModelServicer(model_grpc.ModelServiceServicer):
    """``sixpoint.v1.ModelService``.

    Args:
        catalog: Models that can be used now.
    """

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog

    async def ListModels(self, request: model_pb.ListModelsRequest, context: _Context) -> model_pb.ListModelsResponse:
        """List the models that match all filters that are set."""
        models = self._catalog.list(tenant=principal_of(context).tenant)
        messages = [model_to_message(model.name, model.version, model.spec) for model in models]
        return model_pb.ListModelsResponse(
            models=[
                model
                for model in messages
                if (not request.label or request.label in model.labels)
                and (not request.task or request.task == model.task)
                and (not request.modality or not model.modalities or request.modality in model.modalities)
                and (not request.prompt_kind or request.prompt_kind in model.prompt_kinds)
            ]
        )

    async def GetModel(self, request: model_pb.GetModelRequest, context: _Context) -> model_pb.GetModelResponse:
        """Describe one model."""
        model = self._catalog.get(request.name, tenant=principal_of(context).tenant)
        return model_pb.GetModelResponse(model=model_to_message(model.name, model.version, model.spec))
