"""Triton's ``onnxruntime`` backend in Python, for the Triton that comes from pip.

NVIDIA's container has a native backend of this name. The pip-installed Triton has only its Python backend, which runs
this file in a process of its own for every model whose config says ``backend: "onnxruntime"``; so one model repository
serves in both, to the byte. It runs in Triton's environment, not in the gateway's, and knows neither.

Triton hands over the requests of one dynamic batch together. They are joined along the batch axis, run once and split
again. A request that cannot run becomes an error of its own and leaves its neighbours alone.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime as ort
import triton_python_backend_utils as pb_utils

Array = npt.NDArray[Any]
Tensors = dict[str, Array]

# What Triton calls the element types that onnxruntime names in its own way.
_TYPES = {
    "tensor(bool)": "TYPE_BOOL",
    "tensor(uint8)": "TYPE_UINT8",
    "tensor(uint16)": "TYPE_UINT16",
    "tensor(uint32)": "TYPE_UINT32",
    "tensor(uint64)": "TYPE_UINT64",
    "tensor(int8)": "TYPE_INT8",
    "tensor(int16)": "TYPE_INT16",
    "tensor(int32)": "TYPE_INT32",
    "tensor(int64)": "TYPE_INT64",
    "tensor(float16)": "TYPE_FP16",
    "tensor(float)": "TYPE_FP32",
    "tensor(double)": "TYPE_FP64",
}


class TritonPythonModel:
    """One instance of one version of one ONNX model. Triton finds the class by this name and calls its methods."""

    def initialize(self, args: Mapping[str, str]) -> None:
        """Load ``<version>/model.onnx`` (or the config's ``default_model_filename``).

        Args:
            args: Triton's description of the instance: model_config (JSON), model_repository (the model's folder),
                model_version, model_instance_kind (CPU or GPU), model_instance_device_id.

        Raises:
            TritonModelException: The environment or the model cannot work; Triton reports it as the model's state.
        """
        _require_old_numpy()
        config: dict[str, Any] = json.loads(args["model_config"])
        self._batched = int(config.get("max_batch_size", 0)) > 0
        file_name = config.get("default_model_filename") or "model.onnx"
        path = Path(args["model_repository"], args["model_version"], file_name)
        threads = _threads(config)
        try:
            self._session = ort.InferenceSession(path, _options(threads), providers=_providers(args))
        except Exception as error:
            raise pb_utils.TritonModelException(f"onnxruntime cannot load {file_name}: {error}") from error
        _require_same_tensors(config, self._session)
        self._inputs = {tensor.name: tensor for tensor in self._session.get_inputs()}
        self._outputs = [tensor.name for tensor in self._session.get_outputs()]
        provider = self._session.get_providers()[0]
        pb_utils.Logger.log_info(f"{args['model_name']}:{args['model_version']} on {provider}, {threads} threads")

    def execute(self, requests: Sequence[Any]) -> list[Any]:
        """Answer the requests of one dynamic batch, in their order: one response each, a result or an error."""
        responses: list[Any] = [None] * len(requests)
        ready: dict[int, Tensors] = {}
        for index, request in enumerate(requests):
            if request.is_cancelled():
                responses[index] = _error("the request was cancelled", pb_utils.TritonError.CANCELLED)
                continue
            try:
                ready[index] = self._read(request)
            except Exception as error:
                responses[index] = _error(str(error), pb_utils.TritonError.INVALID_ARG)
        for indices in self._joinable(ready):
            for index, outcome in self._run(indices, ready).items():
                responses[index] = self._respond(requests[index], outcome)
        return responses

    def finalize(self) -> None:
        """Let go of the session, and with it of its threads and memory."""
        del self._session

    def _read(self, request: Any) -> Tensors:
        """The request's input tensors by name, as views of the memory shared with Triton."""
        tensors = {tensor.name(): tensor.as_numpy() for tensor in request.inputs()}
        missing = sorted(self._inputs.keys() - tensors.keys())
        if missing:
            raise ValueError(f"input {', '.join(missing)} is missing")
        for name, tensor in tensors.items():
            if tensor.size == 0:
                raise ValueError(f"input {name} arrived empty, with shape {list(tensor.shape)}")
        return {name: tensors[name] for name in self._inputs}

    def _joinable(self, ready: Mapping[int, Tensors]) -> list[list[int]]:
        """The requests' indices in groups that can run as one: same shapes but for the batch axis."""
        if not self._batched:
            return [[index] for index in ready]
        groups: dict[tuple[Any, ...], list[int]] = {}
        for index, tensors in ready.items():
            groups.setdefault(tuple(tensor.shape[1:] for tensor in tensors.values()), []).append(index)
        return list(groups.values())

    def _run(self, indices: Sequence[int], ready: Mapping[int, Tensors]) -> dict[int, Tensors | Exception]:
        """Run a group as one; should that fail, each request alone, so that only the one at fault gets the error."""
        parts = [ready[index] for index in indices]
        sizes = [next(iter(part.values())).shape[0] for part in parts] if self._batched else [1]
        feeds = parts[0] if len(parts) == 1 else {n: np.concatenate([part[n] for part in parts]) for n in parts[0]}
        try:
            outputs = self._session.run(self._outputs, feeds)
        except Exception as error:
            if len(indices) == 1:
                return {indices[0]: error}
            return {index: outcome for one in indices for index, outcome in self._run([one], ready).items()}
        if len(indices) == 1:
            return {indices[0]: dict(zip(self._outputs, outputs, strict=True))}
        return _split(indices, sizes, dict(zip(self._outputs, outputs, strict=True)))

    def _respond(self, request: Any, outcome: Tensors | Exception) -> Any:
        """A response with the outputs that the request asked for, or with its error."""
        if isinstance(outcome, Exception):
            return _error(f"onnxruntime: {outcome}", pb_utils.TritonError.INTERNAL)
        wanted = request.requested_output_names()
        tensors = [
            pb_utils.Tensor(name, np.ascontiguousarray(outcome[name])) for name in self._outputs if name in wanted
        ]
        return pb_utils.InferenceResponse(tensors)


def _require_old_numpy() -> None:
    """Triton 2.51's Python backend was built for numpy 1: with numpy 2 it passes empty tensors, without an error."""
    if int(np.__version__.split(".")[0]) >= 2:
        raise pb_utils.TritonModelException(
            f"numpy {np.__version__} is installed, with which this Triton passes empty tensors: it needs numpy < 2"
        )


def _require_same_tensors(config: Mapping[str, Any], session: Any) -> None:
    """Refuse a graph that contradicts its config, as the native backend does, rather than fail at every request."""
    for kind, graph in (("input", session.get_inputs()), ("output", session.get_outputs())):
        declared = {tensor["name"]: tensor for tensor in config[kind]}
        found = {tensor.name: tensor for tensor in graph}
        unknown = declared.keys() - found.keys()
        if kind == "input":  # a config may leave outputs out, but no inputs
            unknown |= found.keys() - declared.keys()
        if unknown:
            raise pb_utils.TritonModelException(
                f"{kind} {', '.join(sorted(unknown))}: config has {sorted(declared)}, graph has {sorted(found)}"
            )
        for name, tensor in declared.items():
            batch = [-1] if config.get("max_batch_size", 0) else []
            dims = [*batch, *(int(dim) for dim in tensor["dims"])]
            _require_same_tensor(f"{kind} {name}", (tensor["data_type"], dims), found[name])


def _require_same_tensor(name: str, declared: tuple[str, list[int]], found: Any) -> None:
    """Compare the type and shape that a config declares with one tensor of a graph; -1 or a name: any size."""
    data_type, dims = declared
    if _TYPES.get(found.type) != data_type:
        raise pb_utils.TritonModelException(f"{name}: config says {data_type}, graph says {found.type}")
    shape = [dim if isinstance(dim, int) and dim > 0 else -1 for dim in found.shape]
    pairs = zip(dims, shape, strict=False)
    if len(shape) != len(dims) or any(-1 not in pair and pair[0] != pair[1] for pair in pairs):
        raise pb_utils.TritonModelException(f"{name}: config says shape {dims}, graph says {shape}")


def _threads(config: Mapping[str, Any]) -> int:
    """Threads for one instance: what the config says, as for the native backend, or a share of the cores."""
    text = config.get("parameters", {}).get("intra_op_thread_count", {}).get("string_value", "")
    if text.isdecimal() and int(text) > 0:
        return int(text)
    instances = sum(int(group.get("count", 1)) for group in config.get("instance_group", [])) or 1
    return max(1, len(os.sched_getaffinity(0)) // instances)


def _options(threads: int) -> Any:
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    # Threads that spin between requests would take the cores from the gateway, which works when Triton does not.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return options


def _providers(args: Mapping[str, str]) -> list[Any]:
    """CUDA where Triton placed the instance on a GPU and this onnxruntime can use it; the CPU otherwise."""
    if args["model_instance_kind"] == "GPU" and "CUDAExecutionProvider" in ort.get_available_providers():
        cuda = ("CUDAExecutionProvider", {"device_id": args["model_instance_device_id"]})
        return [cuda, "CPUExecutionProvider"]
    return ["CPUExecutionProvider"]


def _split(indices: Sequence[int], sizes: Sequence[int], outputs: Tensors) -> dict[int, Tensors | Exception]:
    """Give every request its rows of the joint outputs."""
    ends = np.cumsum(sizes)
    for name, output in outputs.items():
        if output.shape[:1] != (ends[-1],):
            error = ValueError(f"output {name} has shape {list(output.shape)} for a batch of {ends[-1]}")
            return dict.fromkeys(indices, error)
    return {
        index: {name: output[end - size : end] for name, output in outputs.items()}
        for index, size, end in zip(indices, sizes, ends, strict=True)
    }


def _error(message: str, code: int) -> Any:
    return pb_utils.InferenceResponse(error=pb_utils.TritonError(message, code))
