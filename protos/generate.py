"""Generate ``sixpoint/v1`` from ``protos/``, as ``make protos`` does: ``python protos/generate.py [OUTPUT_ROOT]``."""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc_tools
from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet
from grpc_tools import protoc

PROTOS = Path(__file__).parent


def generate(output: Path) -> None:
    """Write messages, stubs, their types, and the comments of all messages into ``output/sixpoint/v1``.

    Raises:
        RuntimeError: protoc refused a file; its message is on stderr.
    """
    _run(
        f"--python_out={output}",
        f"--mypy_out=quiet:{output}",
        f"--grpc_python_out={output}",
        f"--mypy_grpc_out=quiet:{output}",
    )
    with tempfile.TemporaryDirectory() as folder:
        descriptors = Path(folder) / "descriptors"
        _run("--include_source_info", f"--descriptor_set_out={descriptors}")
        files = FileDescriptorSet.FromString(descriptors.read_bytes()).file
    comments = dict(sorted(entry for file in files for entry in _comments(file)))
    (output / "sixpoint" / "v1" / "comments.json").write_text(json.dumps(comments, indent=1) + "\n")


def _run(*outputs: str) -> None:
    files = sorted(str(path.relative_to(PROTOS)) for path in PROTOS.rglob("*.proto"))
    well_known = Path(grpc_tools.__file__).parent / "_proto"
    status = protoc.main(["protoc", f"-I{PROTOS}", f"-I{well_known}", *outputs, *files])
    if status:
        raise RuntimeError(f"protoc failed with status {status}")


def _comments(file: FileDescriptorProto) -> Iterator[tuple[str, str]]:
    """Full names of messages, enumerations, services and their parts, with the comments before them."""
    for place in file.source_code_info.location:
        text = " ".join(place.leading_comments.split())
        if text and len(place.path) % 2 == 0:
            yield f"{file.package}.{_name(file, place.path)}", text


def _name(file: FileDescriptorProto, path: Any) -> str:
    """Name of what a path of numbers leads to: pairs of a field of the descriptor, and an index in it."""
    part: Any = file
    names = []
    for number, index in zip(path[::2], path[1::2], strict=True):
        part = getattr(part, part.DESCRIPTOR.fields_by_number[number].name)[index]
        names.append(part.name)
    return ".".join(names)


if __name__ == "__main__":
    generate(Path(sys.argv[1]) if len(sys.argv) > 1 else PROTOS.parent)
