"""ONNX Runtime on the CPU, in a process of its own: a graph from elsewhere may loop for ever or take all memory."""

from __future__ import annotations

from pathlib import Path

from exporter.graph.external_data import external_file_names
from exporter.graph.limited_process import LimitedProcess, RunLimits
from sixpoint._typing import Array
from sixpoint.errors import ModelSpecError
from sixpoint.model_spec import ModelSpec, Task

__all__ = ["GraphSession", "require_small_window"]

_MAX_WINDOW = 2**25
"""Voxels that a network may see at once, as 320 x 320 x 320; larger ones fit into no GPU."""


class GraphSession:
    """An ONNX file, loaded into ONNX Runtime in a process that ends with this object.

    Args:
        path: The file.
        spec: Description of the model, of whose window the limits follow.
        weights: Folder of the file's external data, if it is not the file's own.
        name: Name of the file in errors; empty: its own.

    Raises:
        GraphError: ONNX Runtime refuses the file.
        InvalidArgument: It takes too much time or memory to load.
    """

    def __init__(self, path: Path, spec: ModelSpec, *, weights: Path | None = None, name: str = "") -> None:
        self._process = LimitedProcess("exporter.graph.session_worker", RunLimits.of(spec), name=name or path.name)
        data = [(weights or path.parent) / file for file in external_file_names(path)]
        size = sum(file.stat().st_size for file in (path, *data))
        job = {
            "file": str(path.resolve()),
            "weights": str(weights.resolve()) if weights else "",
            "memory_bytes": self._process.limits.memory_bytes + 4 * size,
        }
        reply, _ = self._process.ask(job)
        self.inputs: list[str] = reply["inputs"]
        self.outputs: list[str] = reply["outputs"]

    def run(self, value: Array, *, output: str = "") -> Array:
        """Return an output of the graph (empty: its first) for its one input [batch, channel, its spatial axes].

        Raises:
            GraphError: ONNX Runtime fails to run it.
            InvalidArgument: It takes too much time or memory.
        """
        _, result = self._process.ask({"input": self.inputs[0], "output": output or self.outputs[0]}, value)
        assert result is not None
        return result


def require_small_window(spec: ModelSpec) -> None:
    """Refuse a window that no network can be run on.

    Raises:
        ModelSpecError: It has too many voxels.
    """
    segmentation = spec.task is Task.SEGMENTATION
    _, z, y, x = spec.input_shape
    if x * y * z > _MAX_WINDOW:
        field = "patch.size" if segmentation else "roi.size"
        raise ModelSpecError(
            f"{field} of {x} x {y} x {z} has {x * y * z:,} voxels, expected at most {_MAX_WINDOW:,}: write the size "
            "that the network was trained on"
        )
