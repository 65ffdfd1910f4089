"""A model's file: a TensorRT plan, or an ONNX file and, where its weights are over 2 GB, the file of weights beside it.

ONNX calls this external data: a tensor names a file in the model's own folder, and where its bytes lie in there. What
the exporter writes has all of them in one file, ``model.onnx.data``, which Triton's backend finds by itself.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
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
    "DATA_FILE",
    "MAX_PROTOBUF_BYTES",
    "MODEL_FILE",
    "PLAN_FILE",
    "external_file_names",
    "iter_tensors",
    "load_weights_into",
    "model_file_name",
    "model_files",
    "sha256_of_files",
    "source_files",
    "write_model",
]

MODEL_FILE = "model.onnx"
PLAN_FILE = "model.plan"
DATA_FILE = f"{MODEL_FILE}.data"

MAX_PROTOBUF_BYTES = 2**31 - 1
"""Protobuf's own limit, and so that of an ONNX file that holds its weights itself."""

# Shapes and the like stay in the graph, where its checker looks for them.
_SMALL_BYTES = 1024
# As ONNX advises, so that the file can be mapped.
_ALIGNED = 4096
# More than a graph takes without its weights.
_GRAPH_BYTES = 2**24


def model_file_name(backend: str) -> str:
    """Name of the file that a backend of Triton's looks for in a version's folder."""
    return PLAN_FILE if backend == "tensorrt" else MODEL_FILE


def model_files(path: Path) -> list[Path]:
    """The files of a model that the exporter wrote: its own, and the file of weights where there is one."""
    data = path.with_name(f"{path.name}.data")
    return [path, data] if data.is_file() else [path]


def sha256_of_files(files: Iterable[Path]) -> str:
    """SHA-256 of files one after the other, in hexadecimal, as of ``cat model.onnx model.onnx.data``."""
    result = hashlib.sha256()
    for path in files:
        with path.open("rb") as file:
            while block := file.read(2**20):
                result.update(block)
    return result.hexdigest()


def external_file_names(path: Path) -> tuple[str, ...]:
    """Names of the files beside an ONNX file, whoever wrote it, in which its weights lie.

    Raises:
        InvalidArgument: It is no ONNX file, or one of the names leads out of its folder.
    """
    try:
        model = onnx.load(path, load_external_data=False)
    except (OSError, DecodeError) as error:
        raise InvalidArgument(f"{path.name} is no ONNX model, or cut off or damaged") from error
    names = sorted({ExternalDataInfo(tensor).location for tensor in iter_tensors(model) if uses_external_data(tensor)})
    for name in names:
        inside = PurePosixPath(name)
        if not inside.parts or inside.is_absolute() or ".." in inside.parts or "\\" in name or ":" in name:
            raise InvalidArgument(f"{path.name} has weights in a file outside of its folder: {name!r}")
    return tuple(names)


def source_files(path: Path) -> list[Path]:
    """An ONNX file, whoever wrote it, and the files in which its weights lie.

    Raises:
        InvalidArgument: As :func:`data_names`; or such a file is not there, or a link that leads out of the folder.
    """
    found = [path]
    for name in external_file_names(path):
        data = path.parent / name
        if not data.is_file():
            raise InvalidArgument(f"{path.name} has weights in a file that is not beside it: {name!r}")
        if not data.resolve().is_relative_to(path.parent.resolve()):
            raise InvalidArgument(f"{path.name} has weights in a file outside of its folder: {name!r} is a link")
        found.append(data)
    return found


def iter_tensors(model: onnx.ModelProto) -> Iterator[TensorProto]:
    """All that holds values in a model: weights, and constants of its nodes, however deep they lie."""
    parts: list[Any] = [model.graph, *model.functions]
    while parts:
        part = parts.pop()
        if isinstance(part, onnx.GraphProto):
            yield from part.initializer
            for sparse in part.sparse_initializer:
                yield from (sparse.values, sparse.indices)
        for node in part.node:
            for attribute in node.attribute:
                yield from ([attribute.t] if attribute.HasField("t") else attribute.tensors)
                parts += [attribute.g] if attribute.HasField("g") else attribute.graphs


def load_weights_into(model: onnx.ModelProto, *, source: Path, max_bytes: int = MAX_PROTOBUF_BYTES) -> bool:
    """Read what lies in files into the model, unless it would come to more than ``max_bytes`` bytes; whether it was."""
    if sum(_size(tensor, source) for tensor in iter_tensors(model)) + min(_GRAPH_BYTES, max_bytes // 2) > max_bytes:
        return False
    for tensor in filter(uses_external_data, iter_tensors(model)):
        _load(tensor, source)
    return True


def write_model(model: onnx.ModelProto, path: Path, *, source: Path, max_bytes: int = MAX_PROTOBUF_BYTES) -> None:
    """Write a model: with its weights where they fit, else with the large ones in one file beside it.

    Args:
        model: Its weights may still lie in files; it is changed.
        path: The ONNX file to write.
        source: The folder in which such files lie; another one than the path's.
        max_bytes: Bytes that the ONNX file may come to.
    """
    if not load_weights_into(model, source=source, max_bytes=max_bytes):
        data = path.with_name(f"{path.name}.data")
        with data.open("wb") as file:
            for tensor in iter_tensors(model):
                if _size(tensor, source) > _SMALL_BYTES and tensor.data_type != TensorProto.STRING:
                    _move(tensor, source, file, location=data.name)
                elif uses_external_data(tensor):
                    _load(tensor, source)
    onnx.save(model, path)


def _size(tensor: TensorProto, source: Path) -> int:
    """Bytes of a tensor, in the graph or in its file."""
    if not uses_external_data(tensor):
        return tensor.ByteSize()
    info = ExternalDataInfo(tensor)
    return info.length or (source / info.location).stat().st_size - (info.offset or 0)


def _load(tensor: TensorProto, source: Path) -> None:
    """Put a tensor's bytes from its file into the graph."""
    load_external_data_for_tensor(tensor, str(source))
    tensor.data_location = TensorProto.DEFAULT  # older ones leave that to their caller
    del tensor.external_data[:]


def _move(tensor: TensorProto, source: Path, file: BinaryIO, *, location: str) -> None:
    """Put a tensor's bytes, wherever they are, at the end of a file."""
    if uses_external_data(tensor):
        _load(tensor, source)
    elif not tensor.HasField("raw_data"):
        tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor), tensor.name))
    file.seek(-(-file.tell() // _ALIGNED) * _ALIGNED)
    set_external_data(tensor, location, offset=file.tell(), length=len(tensor.raw_data))
    file.write(tensor.raw_data)
    tensor.ClearField("raw_data")
