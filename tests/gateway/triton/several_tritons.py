"""Several real Tritons, whose models say which of them answered, after a time that tests choose."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import numpy as np
from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2, service_pb2, service_pb2_grpc

from gateway.core.runtime import Catalog, InferenceResult
from gateway.triton.local.server import LocalTriton, LocalTritonSettings
from gateway.triton.pool import TritonPool
from sixpoint.model_spec import SPEC_PARAMETER, ModelSpec
from tests.support.models import ELLIPSOID_SPEC, write_config
from tests.support.paths import ROOT, TRITON_ENVIRONMENT
from tests.support.ports import free_port
from tests.support.servers import signal_triton

SPEC = ELLIPSOID_SPEC.model_copy(update={"roi": ELLIPSOID_SPEC.roi.model_copy(update={"size": (16, 16, 16)})})


def segmentation_spec() -> ModelSpec:
    """Return the spec of the shipped segmentation model."""
    text = (ROOT / "model_repository" / "segmentation_hippocampus" / "config.pbtxt").read_text()
    config = text_format.Parse(text, model_config_pb2.ModelConfig())
    return ModelSpec.from_json(config.parameters[SPEC_PARAMETER].string_value)


_MODEL = """
import time
import numpy as np
import triton_python_backend_utils as pb_utils

class TritonPythonModel:
    def execute(self, requests):
        responses = []
        for request in requests:
            values = pb_utils.get_input_tensor_by_name(request, "INPUT").as_numpy()
            time.sleep(float(open(PAUSE).read()) if values.any() else 0.0)
            answer = np.full((values.shape[0], CHANNELS) + values.shape[2:], NUMBER, np.uint8)
            responses.append(pb_utils.InferenceResponse([pb_utils.Tensor("PROBABILITY", answer)]))
        return responses
"""


class Triton(LocalTriton):
    """A Triton that can be killed, started again, and slowed down.

    Args:
        folder: Empty folder for its models.
        number: What its models answer for every voxel, in 255ths.
    """

    def __init__(self, folder: Path, number: int) -> None:
        self.repository = folder / "models"
        self.number = number
        self._pause = folder / "pause"
        folder.mkdir()
        self.slow_down(0.0)
        super().__init__(
            LocalTritonSettings(
                model_repository=self.repository,
                environment=TRITON_ENVIRONMENT,
                grpc_port=free_port(),
                metrics_port=free_port(),
                log=folder / "log",
            )
        )

    def add(self, name: str, *, version: int = 1, spec: ModelSpec = SPEC) -> None:
        """Add a model to its repository."""
        write_config(self.repository / name, backend="python", spec=spec)
        (self.repository / name / str(version)).mkdir()
        values = f"PAUSE, NUMBER, CHANNELS = {str(self._pause)!r}, {self.number}, {spec.output_shape[0]}"
        (self.repository / name / str(version) / "model.py").write_text(f"{values}\n{_MODEL}")

    def slow_down(self, seconds: float) -> None:
        """Let its models take so long for each answer, one after the other."""
        self._pause.with_suffix(".new").write_text(str(seconds))
        self._pause.with_suffix(".new").rename(self._pause)

    def answered(self, model: str) -> int:
        """Return how many inputs a model has answered."""
        with grpc.insecure_channel(self.address) as channel:
            request = service_pb2.ModelStatisticsRequest(name=model)
            statistics = service_pb2_grpc.GRPCInferenceServiceStub(channel).ModelStatistics(request, timeout=10)
        return sum(int(one.inference_count) for one in statistics.model_stats)

    async def kill(self) -> None:
        """kill -9, as an end without a word."""
        signal_triton(self, signal.SIGKILL)
        await self.stop()


@contextlib.asynccontextmanager
async def pool_of(addresses: str, *, reachable: int, **arguments: Any) -> AsyncIterator[tuple[TritonPool, Catalog]]:
    """A pool that has looked at so many Tritons, and its catalog."""
    catalog = Catalog()
    async with TritonPool(addresses, catalog=catalog, interval=0.1, changed=lambda: None, **arguments) as pool:
        running = asyncio.create_task(pool.run())
        await reached(pool, reachable)
        try:
            yield pool, catalog
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)


async def reached(pool: TritonPool, number: int) -> None:
    """Wait until the pool uses exactly so many Tritons."""
    async with asyncio.timeout(30):
        while sum(one.catalog.reachable for one in pool._endpoints.values()) != number:
            await asyncio.sleep(0.02)


async def ask(pool: TritonPool, catalog: Catalog, name: str = "who", *, version: str = "") -> InferenceResult:
    """Call a model once."""
    model = catalog.get(name, tenant="default")
    return await pool.infer(model, np.ones(model.spec.input_shape, np.float16), timeout=20, version=version)


async def ask_often(pool: TritonPool, catalog: Catalog, calls: int, *, callers: int = 4) -> Counter[int]:
    """Call a model so often; return how often each Triton answered, by its number."""
    answers: Counter[int] = Counter()
    left = iter(range(calls))

    async def caller() -> None:
        for _ in left:
            answers[int((await ask(pool, catalog)).output.flat[0])] += 1

    await asyncio.gather(*(caller() for _ in range(callers)))
    return answers
