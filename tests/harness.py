"""What several tests need: free ports, a Triton model repository made for tests, and a gateway running in a thread."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
from google.protobuf import json_format, text_format
from onnx import TensorProto, helper, numpy_helper
from tritonclient.grpc import model_config_pb2

from gateway.server import Gateway
from gateway.settings import Settings
from gateway.triton.local import LocalTriton, LocalTritonSettings
from sixpoint.spec import PARAMETER, EllipsoidChannel, HeatmapChannel, ImageChannel, InputSpec, Intensity, ModelSpec
from sixpoint.volume import Volume

ROOT = Path(__file__).parent.parent
TRITON_ENVIRONMENT = ROOT / ".triton"

ELLIPSOID_SPEC = ModelSpec(
    title="The ellipsoid in the points' box",
    modalities=("CT",),
    input=InputSpec(
        channels=(ImageChannel(intensity=Intensity(method="percentile")), HeatmapChannel(), EllipsoidChannel())
    ),
)
"""Of a model without weights: its answer is the ellipsoid channel, so that tests know what to expect."""

_SLOW_MODEL = """
import time
import numpy as np
import triton_python_backend_utils as pb_utils

class TritonPythonModel:
    def execute(self, requests):
        responses = []
        for request in requests:
            values = pb_utils.get_input_tensor_by_name(request, "INPUT").as_numpy()
            end = time.monotonic() + (3.0 if values.any() else 0.0)  # an empty input is the gateway's own first look
            while time.monotonic() < end and not request.is_cancelled():
                time.sleep(0.02)
            if request.is_cancelled():
                open(MARK, "w").close()
            answer = np.full((values.shape[0], 1) + values.shape[2:], 255, np.uint8)
            responses.append(pb_utils.InferenceResponse([pb_utils.Tensor("PROBABILITY", answer)]))
        return responses
"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def write_config(folder: Path, *, backend: str, spec: ModelSpec, with_spec: bool = True) -> None:
    """A config.pbtxt for a model of this spec."""
    config = {
        "name": folder.name,
        "backend": backend,
        "max_batch_size": 4,
        "input": [{"name": spec.input.name, "data_type": "TYPE_FP16", "dims": spec.input_shape}],
        "output": [{"name": spec.output.name, "data_type": "TYPE_UINT8", "dims": spec.output_shape}],
        "instance_group": [{"count": 1, "kind": "KIND_CPU"}],
        "parameters": {PARAMETER: {"string_value": spec.to_json()}} if with_spec else {},
    }
    message = json_format.ParseDict(config, model_config_pb2.ModelConfig())
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.pbtxt").write_text(text_format.MessageToString(message))


def write_ellipsoid_model(folder: Path, *, version: int = 1, spec: ModelSpec = ELLIPSOID_SPEC) -> None:
    """A model whose probability is the sigmoid of ten times the ellipsoid channel (its last)."""
    channels, z, y, x = spec.input_shape
    nodes = [
        helper.make_node("Gather", ["INPUT", "channel"], ["picked"], axis=1),
        helper.make_node("Cast", ["picked"], ["float"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["float", "ten"], ["logits"]),
        helper.make_node("Sigmoid", ["logits"], ["probability"]),
        helper.make_node("Mul", ["probability", "full"], ["scaled"]),
        helper.make_node("Round", ["scaled"], ["rounded"]),
        helper.make_node("Cast", ["rounded"], ["PROBABILITY"], to=TensorProto.UINT8),
    ]
    graph = helper.make_graph(
        nodes,
        "ellipsoid",
        [helper.make_tensor_value_info("INPUT", TensorProto.FLOAT16, ["N", channels, z, y, x])],
        [helper.make_tensor_value_info("PROBABILITY", TensorProto.UINT8, ["N", 1, z, y, x])],
        [
            numpy_helper.from_array(np.array([channels - 1]), "channel"),
            numpy_helper.from_array(np.float32(10), "ten"),
            numpy_helper.from_array(np.float32(255), "full"),
        ],
    )
    write_config(folder, backend="onnxruntime", spec=spec)
    (folder / str(version)).mkdir()
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, folder / str(version) / "model.onnx")


def write_slow_model(folder: Path, *, mark: Path) -> None:
    """A model that takes three seconds, and writes ``mark`` when its request was cancelled."""
    write_config(folder, backend="python", spec=ELLIPSOID_SPEC)
    (folder / "1").mkdir()
    (folder / "1" / "model.py").write_text(f"MARK = {str(mark)!r}\n{_SLOW_MODEL}")


@contextlib.contextmanager
def running_triton(repository: Path, *, port: int | None = None) -> Iterator[LocalTriton]:
    """The real Triton on this repository."""
    settings = LocalTritonSettings(
        model_repository=repository,
        environment=TRITON_ENVIRONMENT,
        grpc_port=port or free_port(),
        metrics_port=free_port(),
        log=repository.parent / f"{repository.name}-triton.log",
    )
    triton = LocalTriton(settings)
    asyncio.run(triton.start())
    try:
        yield triton
    finally:
        asyncio.run(triton.stop())


@contextlib.contextmanager
def running_gateway(*, ready: bool = True, **settings: object) -> Iterator[Gateway]:
    """A gateway in a thread of this process, on a free port; ``ready``: wait until Triton serves a model."""
    values: dict[str, object] = {
        "port": 0,
        "drain_notice_seconds": 0.0,
        "drain_seconds": 2.0,
        "triton_poll_seconds": 0.1,
    }
    gateway = Gateway(Settings(**(values | settings)))  # type: ignore[arg-type]
    started, failure = threading.Event(), []
    loop = asyncio.new_event_loop()
    stop = asyncio.Event()

    async def main() -> None:
        async with gateway.running():
            if ready:
                await gateway.wait_until_ready(30)
            started.set()
            await stop.wait()

    def run() -> None:
        try:
            loop.run_until_complete(main())
        except BaseException as error:
            failure.append(error)
        finally:
            started.set()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    started.wait(60)
    if failure:
        raise failure[0]
    try:
        yield gateway
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(30)
        loop.close()


def noisy_volume(size: tuple[int, int, int] = (40, 36, 32), *, dtype: str = "int16") -> Volume:
    """A small image, (x, y, z) voxels of 1 mm, of noise."""
    from sixpoint.geometry import Geometry

    x, y, z = size
    values = np.random.default_rng(0).normal(100, 20, (z, y, x)).astype(dtype)
    return Volume(values, Geometry(size=size))
