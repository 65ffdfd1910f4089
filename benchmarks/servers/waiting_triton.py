"""Tritons whose network waits in place of computing, so that one machine can show what several GPUs would do."""

from __future__ import annotations

from pathlib import Path

from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2

from benchmarks.servers.local_servers import TRITON_ENVIRONMENT, free_ports
from gateway.triton.local.server import LocalTriton, LocalTritonSettings

__all__ = ["WaitingTriton"]

_CONFIG = Path(__file__).parents[2] / "model_repository" / "annotation" / "config.pbtxt"
_MODEL = """
import time
import numpy as np
import triton_python_backend_utils as pb_utils

class TritonPythonModel:
    def execute(self, requests):
        responses = []
        for request in requests:
            values = pb_utils.get_input_tensor_by_name(request, "INPUT").as_numpy()
            time.sleep(float(open(WAIT).read()) if values.any() else 0.0)  # empty: the gateway's trial
            answer = np.full((values.shape[0], 1) + values.shape[2:], 255, np.uint8)
            responses.append(pb_utils.InferenceResponse([pb_utils.Tensor("PROBABILITY", answer)]))
        return responses
"""


class WaitingTriton(LocalTriton):
    """A Triton with the shipped annotation model's config and spec, whose network waits: one prompt after the other.

    Args:
        folder: Folder for its models; it must not exist.
        environment: Folder of Triton's environment.
    """

    def __init__(self, folder: Path, *, environment: Path = TRITON_ENVIRONMENT) -> None:
        model = folder / "models" / "annotation"
        (model / "1").mkdir(parents=True)
        config = text_format.Parse(_CONFIG.read_text(), model_config_pb2.ModelConfig())
        for field in ("dynamic_batching", "model_warmup", "version_policy"):
            config.ClearField(field)
        config.backend = "python"
        (model / "config.pbtxt").write_text(text_format.MessageToString(config))
        self._wait = folder / "wait"
        self.wait(0.0)
        (model / "1" / "model.py").write_text(f"WAIT = {str(self._wait)!r}\n{_MODEL}")
        grpc_port, metrics_port = free_ports(2)
        super().__init__(
            LocalTritonSettings(
                model_repository=folder / "models",
                environment=environment,
                grpc_port=grpc_port,
                metrics_port=metrics_port,
                log=folder / "log",
            )
        )

    def wait(self, seconds: float) -> None:
        """Let the model take so long for each prompt from now on."""
        new = self._wait.with_suffix(".new")
        new.write_text(str(seconds))
        new.rename(self._wait)
