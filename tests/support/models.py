"""Models made for tests, with answers that tests can compute."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from google.protobuf import json_format, text_format
from onnx import TensorProto, helper, numpy_helper
from tritonclient.grpc import model_config_pb2

from sixpoint.model_spec import (
    SPEC_PARAMETER,
    ClickChannel,
    EllipsoidChannel,
    FieldOfViewChannel,
    HeatmapChannel,
    HullChannel,
    ImageChannel,
    InputSpec,
    Intensity,
    ModelSpec,
    PreviousChannel,
    PromptKind,
)

ELLIPSOID_SPEC = ModelSpec(
    title="The ellipsoid in the points' box",
    modalities=("CT",),
    input=InputSpec(
        channels=(ImageChannel(intensity=Intensity(method="percentile")), HeatmapChannel(), EllipsoidChannel())
    ),
)
"""Of a model without weights: its answer is the ellipsoid channel, so that tests know what to expect."""

CLICKS_SPEC = ModelSpec(
    title="The ellipsoid, and what clicks add to it and take from it",
    prompts=(PromptKind.EXTREME_POINTS, PromptKind.BOX, PromptKind.CLICKS, PromptKind.MASK),
    input=InputSpec(
        channels=(
            ImageChannel(intensity=Intensity(method="points")),
            HeatmapChannel(),
            ClickChannel(sign="positive"),
            ClickChannel(sign="negative"),
            PreviousChannel(),
            FieldOfViewChannel(),
            EllipsoidChannel(),
            HullChannel(),
        )
    ),
)
"""Of a model without weights that takes every prompt: the previous answer, or else the ellipsoid, plus the positive
clicks' channel, less the negative ones'."""

DEAF_SPEC = ELLIPSOID_SPEC.model_copy(
    update={"prompts": (PromptKind.EXTREME_POINTS, PromptKind.BOX, PromptKind.CLICKS)}
)
"""Of a model that takes every prompt but a mask, and answers the ellipsoid, whatever is clicked."""

_SLOW_MODEL = """
import time
import numpy as np
import triton_python_backend_utils as pb_utils

class TritonPythonModel:
    def execute(self, requests):
        responses = []
        for request in requests:
            values = pb_utils.get_input_tensor_by_name(request, "INPUT").as_numpy()
            end = time.monotonic() + (SECONDS if values.any() else 0.0)  # empty: the gateway's own first look
            while time.monotonic() < end and not request.is_cancelled():
                time.sleep(0.02)
            if request.is_cancelled():
                open(MARK, "w").close()
            answer = np.full((values.shape[0], CHANNELS) + values.shape[2:], 255, np.uint8)
            responses.append(pb_utils.InferenceResponse([pb_utils.Tensor("PROBABILITY", answer)]))
        return responses
"""


def write_config(folder: Path, *, backend: str, spec: ModelSpec, with_spec: bool = True) -> None:
    """A config.pbtxt for a model of this spec."""
    config = {
        "name": folder.name,
        "backend": backend,
        "max_batch_size": 4,
        "input": [{"name": spec.input.name, "data_type": "TYPE_FP16", "dims": spec.input_shape}],
        "output": [{"name": spec.output.name, "data_type": "TYPE_UINT8", "dims": spec.output_shape}],
        "instance_group": [{"count": 1, "kind": "KIND_CPU"}],
        "parameters": {SPEC_PARAMETER: {"string_value": spec.to_json()}} if with_spec else {},
    }
    message = json_format.ParseDict(config, model_config_pb2.ModelConfig())
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.pbtxt").write_text(text_format.MessageToString(message))


def write_ellipsoid_model(folder: Path, *, version: int = 1, spec: ModelSpec = ELLIPSOID_SPEC) -> None:
    """A model whose probability is the sigmoid of ten times the ellipsoid channel: see :func:`ellipsoid_answer`."""
    _write_model(folder, _picked("ellipsoid", spec), version=version, spec=spec)


def write_clicks_model(folder: Path, *, version: int = 1) -> None:
    """A model of :data:`CLICKS_SPEC`; see also :func:`clicks_answer`."""
    nodes = [
        *_picked("ellipsoid", CLICKS_SPEC, result="begun"),
        *(
            node
            for kind in ("previous", "positive", "negative")
            for node in _channel_nodes(kind, _index(kind, CLICKS_SPEC))
        ),
        helper.make_node("ReduceMax", ["previous"], ["most"], axes=[1, 2, 3, 4], keepdims=1),
        helper.make_node("Greater", ["most", "zero"], ["corrects"]),
        helper.make_node("Where", ["corrects", "previous", "begun"], ["base"]),
        helper.make_node("Add", ["base", "positive"], ["more"]),
        helper.make_node("Sub", ["more", "negative"], ["less"]),
        helper.make_node("Clip", ["less", "zero", "one"], ["probability"]),
    ]
    _write_model(folder, nodes, version=version, spec=CLICKS_SPEC)


def ellipsoid_answer(tensor: np.ndarray, spec: ModelSpec = ELLIPSOID_SPEC) -> np.ndarray:
    """What the model of :func:`write_ellipsoid_model` answers to one input, uint8 [1, z, y, x]."""
    return np.rint(255 * _sigmoid(tensor[_index("ellipsoid", spec)]))[None].astype(np.uint8)


def clicks_answer(tensor: np.ndarray) -> np.ndarray:
    """What the model of :func:`write_clicks_model` answers to one input, uint8 [1, z, y, x]."""
    kinds = ("ellipsoid", "previous", "positive", "negative")
    ellipsoid, previous, positive, negative = (tensor[_index(kind, CLICKS_SPEC)].astype(np.float32) for kind in kinds)
    base = previous if previous.any() else _sigmoid(ellipsoid)
    return np.rint(255 * np.clip(base + positive - negative, 0, 1))[None].astype(np.uint8)


def _sigmoid(channel: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-10 * channel.astype(np.float32)))


def _index(name: str, spec: ModelSpec) -> int:
    """Where a channel is: by its kind, or by its clicks' sign."""
    return [getattr(channel, "sign", channel.kind) for channel in spec.input.channels].index(name)


def _channel_nodes(name: str, index: int) -> list[onnx.NodeProto]:
    """Nodes that read one channel as float32, [N, 1, z, y, x]."""
    return [
        helper.make_node("Constant", [], [f"{name} index"], value=numpy_helper.from_array(np.array([index]))),
        helper.make_node("Gather", ["INPUT", f"{name} index"], [f"{name} half"], axis=1),
        helper.make_node("Cast", [f"{name} half"], [name], to=TensorProto.FLOAT),
    ]


def _picked(name: str, spec: ModelSpec, *, result: str = "probability") -> list[onnx.NodeProto]:
    return [
        *_channel_nodes(name, _index(name, spec)),
        helper.make_node("Mul", [name, "ten"], ["logits"]),
        helper.make_node("Sigmoid", ["logits"], [result]),
    ]


def _write_model(folder: Path, nodes: list[onnx.NodeProto], *, version: int, spec: ModelSpec) -> None:
    """A model whose nodes make ``probability`` of ``INPUT``."""
    channels, z, y, x = spec.input_shape
    nodes = [
        *nodes,
        helper.make_node("Mul", ["probability", "full"], ["scaled"]),
        helper.make_node("Round", ["scaled"], ["rounded"]),
        helper.make_node("Cast", ["rounded"], ["PROBABILITY"], to=TensorProto.UINT8),
    ]
    graph = helper.make_graph(
        nodes,
        "test",
        [helper.make_tensor_value_info("INPUT", TensorProto.FLOAT16, ["N", channels, z, y, x])],
        [helper.make_tensor_value_info("PROBABILITY", TensorProto.UINT8, ["N", 1, z, y, x])],
        [
            numpy_helper.from_array(np.array(value, np.float32), name)
            for name, value in {"zero": 0, "one": 1, "ten": 10, "full": 255}.items()
        ],
    )
    write_config(folder, backend="onnxruntime", spec=spec)
    (folder / str(version)).mkdir()
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, folder / str(version) / "model.onnx")


def write_slow_model(folder: Path, *, mark: Path, spec: ModelSpec = ELLIPSOID_SPEC, seconds: float = 3.0) -> None:
    """A model that takes so many seconds, and writes ``mark`` when its request was cancelled."""
    write_config(folder, backend="python", spec=spec)
    (folder / "1").mkdir()
    known = f"MARK, SECONDS, CHANNELS = {str(mark)!r}, {seconds}, {spec.output_shape[0]}"
    (folder / "1" / "model.py").write_text(f"{known}\n{_SLOW_MODEL}")
