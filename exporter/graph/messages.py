"""Messages between the exporter and the process that runs a graph: a line of JSON, then an array if there is one."""

from __future__ import annotations

import json
from typing import IO, TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:  # the process that runs a graph need not load the library
    from sixpoint._typing import Array

__all__ = ["receive", "send"]


def send(stream: IO[bytes], header: dict[str, Any], value: Array | None) -> None:
    """Write a message."""
    array = None if value is None else {"dtype": value.dtype.str, "shape": value.shape}
    stream.write(json.dumps({**header, "array": array}).encode() + b"\n")
    if value is not None:
        stream.write(np.ascontiguousarray(value).data)
    stream.flush()


def receive(stream: IO[bytes]) -> tuple[dict[str, Any], Array | None]:
    """Read a message of :func:`send`.

    Raises:
        EOFError: The stream has ended.
        ValueError: It holds something else.
    """
    line = stream.readline()
    if not line:
        raise EOFError
    header: dict[str, Any] = json.loads(line)
    if header["array"] is None:
        return header, None
    value: Array = np.empty(header["array"]["shape"], np.dtype(header["array"]["dtype"]))
    missing = value.reshape(-1).view(np.uint8).data
    while missing:
        count = stream.readinto(missing)  # type: ignore[attr-defined]
        if not count:
            raise EOFError
        missing = missing[count:]
    return header, value
