"""Triton without a gateway: the lower bound that the gateway is measured against."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import grpc
from tritonclient.grpc import service_pb2, service_pb2_grpc

from sixpoint._typing import Array
from sixpoint.model_spec import SPEC_PARAMETER, ModelSpec

__all__ = ["BareTriton"]


@dataclass(frozen=True)
class BareTriton:
    """A model in Triton, called through the generated stub: one tensor in, one out.

    Attributes:
        stub: Generated stub of Triton's inference service.
        model: Name of the model.
    """

    stub: Any
    model: str

    @classmethod
    def connect(cls, url: str, model: str) -> BareTriton:
        """Connect to the Triton at host:port."""
        options = (("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1))
        return cls(service_pb2_grpc.GRPCInferenceServiceStub(grpc.insecure_channel(url, options)), model)

    def spec(self) -> ModelSpec:
        """Read the model's spec from its config."""
        config = self.stub.ModelConfig(service_pb2.ModelConfigRequest(name=self.model)).config
        return ModelSpec.from_json(config.parameters[SPEC_PARAMETER].string_value)

    def compute_ms(self) -> float:
        """Read the milliseconds that the model has computed since it was loaded."""
        versions = self.stub.ModelStatistics(service_pb2.ModelStatisticsRequest(name=self.model)).model_stats
        return float(sum(version.inference_stats.compute_infer.ns for version in versions)) / 1e6

    def call_ms(self, tensor: Array, spec: ModelSpec) -> float:
        """Call the model once; return the milliseconds of the call."""
        started = time.perf_counter()
        request = service_pb2.ModelInferRequest(model_name=self.model, raw_input_contents=[tensor.tobytes()])
        request.inputs.add(name=spec.input.name, datatype=spec.input.dtype, shape=[1, *tensor.shape])
        self.stub.ModelInfer(request)
        return (time.perf_counter() - started) * 1000
