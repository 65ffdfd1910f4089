"""Models: what the gateway can use now."""

from __future__ import annotations

from collections.abc import Sequence

from google.protobuf.message import Message

from gateway.contract import ModelCalls
from gateway.core.access import Principal, Role
from gateway.core.runtime import DeadlineLimits
from gateway.http.rest.operations import Operation, contract_operation
from sixpoint.v1 import model_service_pb2 as model_pb

__all__ = ["model_operations"]


def model_operations(calls: ModelCalls, deadlines: DeadlineLimits) -> Sequence[Operation]:
    """The operations on models."""

    async def list_models(request: model_pb.ListModelsRequest, principal: Principal) -> Message:
        return calls.list_models(request, principal)

    async def get_model(request: model_pb.GetModelRequest, principal: Principal) -> Message:
        return calls.get_model(request, principal)

    return [
        contract_operation(
            "GET",
            "/models",
            "listModels",
            "List the models that match all filters that are set",
            model_pb.ListModelsRequest,
            list_models,
            Role.VIEWER,
            deadlines,
        ),
        contract_operation(
            "GET",
            "/models/{name}",
            "getModel",
            "Describe a model",
            model_pb.GetModelRequest,
            get_model,
            Role.VIEWER,
            deadlines,
            part="model",
        ),
    ]
