"""ONNX external data: weights in files beside the graph.

A tensor with external data names a file in the model's own folder and a range of bytes in it. The exporter writes all
of them to one file, ``model.onnx.data``, which Triton's ONNX Runtime backend loads along with ``model.onnx``.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

import onnx
from google.protobuf.message import DecodeError
from onnx import TensorProto, numpy_helper
from onnx.external_data_helper import (
    ExternalDataInfo,
    load_external_data_for_tensor,
    set_external_data,
    uses_external_data,
)

from sixpoint.errors import InvalidArgument

__all__ = [
    "MAX_PROTOBUF_BYTES",
    "external_file_names",
    "iter_nodes",
    "iter_tensors",
    "load_weights_into",
    "source_files",
    "write_model",
]

MAX_PROTOBUF_BYTES = 2**31 - 1
"""Size limit of a protobuf message, and so of an ONNX file that holds its own weights."""

# Shapes and other small constants stay in the graph: the ONNX checker reads them there.
_MIN_EXTERNAL_BYTES = 1024
# ONNX recommends page alignment so that the file can be memory-mapped.
_ALIGNMENT = 4096
# Upper bound for a graph without its weights.
_GRAPH_BYTES = 2**24


def external_file_names(path: Path) -> tuple[str, ...]:
    """Return the names of the files that hold an ONNX file's weights; empty if it holds them itself.

    Raises:
        InvalidArgument: The file is not an ONNX model, or a name points out of its folder.
    """
    try:
        model = onnx.load(path, load_external_data=False)
    except (OSError, DecodeError) as error:
        raise InvalidArgument(f"{path.name} is not an ONNX model, or is truncated or damaged") from error
    try:
        names = sorted(
            {ExternalDataInfo(tensor).location for tensor in iter_tensors(model) if uses_external_data(tensor)}
        )
    except ValueError as error:  # an offset or a length that is not a number, or negative
        raise InvalidArgument(f"{path.name} does not say where its weights lie in their file: {error}") from error
    for name in names:
        inside = PurePosixPath(name)
        if not inside.parts or inside.is_absolute() or ".." in inside.parts or "\\" in name or ":" in name:
            raise InvalidArgument(f"{path.name} has weights in a file outside its folder: {name!r}")
    return tuple(names)


def source_files(path: Path) -> list[Path]:
    """Return an ONNX file and the files that hold its weights.

    Raises:
        InvalidArgument: The file is not an ONNX model; or a weights file is missing, lies outside the model's folder,
            or is a link that leads out of it.
    """
    files = [path]
    for name in external_file_names(path):
        data = path.parent / name
        if not data.is_file():
            raise InvalidArgument(f"{path.name} has weights in a file that is missing from its folder: {name!r}")
        if not data.resolve().is_relative_to(path.parent.resolve()):
            raise InvalidArgument(f"{path.name} has weights in a file outside its folder: {name!r} is a link")
        files.append(data)
    return files


def iter_tensors(model: onnx.ModelProto) -> Iterator[TensorProto]:
    """Yield every tensor that holds values: initializers and constants of nodes, subgraphs and functions included."""
    for part in _parts(model):
        if isinstance(part, onnx.GraphProto):
            yield from part.initializer
            for sparse in part.sparse_initializer:
                yield from (sparse.values, sparse.indices)
        for node in part.node:
            for attribute in node.attribute:
                yield from ([attribute.t] if attribute.HasField("t") else attribute.tensors)


def iter_nodes(model: onnx.ModelProto) -> Iterator[onnx.NodeProto]:
    """Yield every node, subgraphs and functions included."""
    for part in _parts(model):
        yield from part.node


def _parts(model: onnx.ModelProto) -> Iterator[Any]:
    """Yield the graph, the functions, and their subgraphs."""
    parts: list[Any] = [model.graph, *model.functions]
    while parts:
        part = parts.pop()
        yield part
        for node in part.node:
            for attribute in node.attribute:
                parts += [attribute.g] if attribute.HasField("g") else attribute.graphs


def load_weights_into(model: onnx.ModelProto, *, source: Path, max_bytes: int = MAX_PROTOBUF_BYTES) -> bool:
    """Load external data into the graph, if the result fits into ``max_bytes``.

    Args:
        model: The graph; changed in place.
        source: Folder that holds the external data.
        max_bytes: Size limit of the graph with its weights.

    Returns:
        Whether the weights fitted and were loaded.
    """
    if sum(_size(tensor, source) for tensor in iter_tensors(model)) + min(_GRAPH_BYTES, max_bytes // 2) > max_bytes:
        return False
    for tensor in filter(uses_external_data, iter_tensors(model)):
        _load(tensor, source)
    return True


def write_model(model: onnx.ModelProto, path: Path, *, source: Path, max_bytes: int = MAX_PROTOBUF_BYTES) -> None:
    """Write a model, with its large weights in a second file if one file would exceed ``max_bytes``.

    Args:
        model: The graph, which may use external data; changed in place.
        path: The ONNX file to write.
        source: Folder that holds the graph's external data; must differ from the folder of ``path``.
        max_bytes: Size limit of the ONNX file.
    """
    if not load_weights_into(model, source=source, max_bytes=max_bytes):
        data = path.with_name(f"{path.name}.data")
        with data.open("wb") as file:
            for tensor in iter_tensors(model):
                if _size(tensor, source) > _MIN_EXTERNAL_BYTES and tensor.data_type != TensorProto.STRING:
                    _move(tensor, source, file, location=data.name)
                elif uses_external_data(tensor):
                    _load(tensor, source)
    onnx.save(model, path)


def _size(tensor: TensorProto, source: Path) -> int:
    """Return the bytes of a tensor, whether it lies in the graph or in a file."""
    if not uses_external_data(tensor):
        return tensor.ByteSize()
    info = ExternalDataInfo(tensor)
    return info.length or (source / info.location).stat().st_size - (info.offset or 0)


def _load(tensor: TensorProto, source: Path) -> None:
    """Load a tensor's external data into the graph."""
    load_external_data_for_tensor(tensor, str(source))
    tensor.data_location = TensorProto.DEFAULT  # older ONNX releases leave this to the caller
    del tensor.external_data[:]


def _move(tensor: TensorProto, source: Path, file: BinaryIO, *, location: str) -> None:
    """Append a tensor's bytes to a file and refer to them from the graph."""
    if uses_external_data(tensor):
        _load(tensor, source)
    elif not tensor.HasField("raw_data"):
        tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor), tensor.name))
    file.seek(-(-file.tell() // _ALIGNMENT) * _ALIGNMENT)
    set_external_data(tensor, location, offset=file.tell(), length=len(tensor.raw_data))
    file.write(tensor.raw_data)
    tensor.ClearField("raw_data")
