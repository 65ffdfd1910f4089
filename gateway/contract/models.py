"""The calls of ``sixpoint.v1.ModelService``."""

from __future__ import annotations

from gateway.core.access import Principal
from gateway.core.runtime import Catalog
from sixpoint.protocol import model_to_message
from sixpoint.v1 import model_service_pb2 as model_pb

__all__ = ["ModelCalls"]


class ModelCalls:
    """The calls of ``sixpoint.v1.ModelService``.

    Args:
        catalog: Models that can be used now.
    """

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog

    def list_models(self, request: model_pb.ListModelsRequest, principal: Principal) -> model_pb.ListModelsResponse:
        """List the models that match all filters that are set."""
        models = self._catalog.list(tenant=principal.tenant)
        messages = [model_to_message(model.name, model.version, model.spec) for model in models]
        return model_pb.ListModelsResponse(
            models=[
                model
                for model in messages
                if (not request.label or request.label in model.labels)
                and (not request.task or request.task == model.task)
                and (not request.modality or not model.modalities or request.modality in model.modalities)
                and (not request.prompt_kind or request.prompt_kind in _accepted(model))
            ]
        )

    def get_model(self, request: model_pb.GetModelRequest, principal: Principal) -> model_pb.GetModelResponse:
        """Describe one model."""
        model = self._catalog.get(request.name, tenant=principal.tenant)
        return model_pb.GetModelResponse(model=model_to_message(model.name, model.version, model.spec))


def _accepted(model: model_pb.Model) -> list[model_pb.PromptKind.ValueType]:
    """Kinds of prompts that a model accepts, itself or as clicks."""
    return [*model.prompt_kinds, *model.prompt_kinds_as_clicks]
