"""The program that fetches one series for the gateway, and reads it, in a process of its own.

It takes a line of JSON: the server, the series, folders and limits. It writes a line for each few files that came, so
that their room is counted, and a last one as :mod:`gateway.http.decode_image` does.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from gateway.http.decoding.limits import limit_series_process

__all__ = ["main"]

_REPORT_BYTES = 2**22
_GIB = 2**30
_MAX_FILES = 20_000
_NAME = "the series"


def main(order: Mapping[str, str], max_bytes: int, report: Callable[[int], None]) -> dict[str, object]:
    """Fetch a series, and read it if its voxels shall be written.

    Args:
        order: ``url``, ``authorization``, ``ca_file``, ``study``, ``series``, ``folder`` for its files, and ``voxels``,
            the file for the voxels; empty if the files are all that is asked for.
        max_bytes: Largest image, in bytes of voxels.
        report: Function called with the bytes of the files so far.

    Returns:
        The header of the image, nothing where no voxels are written, or an error.
    """
    limit_series_process(max_bytes)
    try:
        from gateway.http.decode_image import read_image
        from sixpoint.errors import SixpointError
        from sixpoint.io.dicomweb.server import DicomwebLimits, DicomwebServer
    except ImportError:
        return {"missing": True}
    folder, reported = Path(order["folder"]), 0

    def on_file(_: int, size: int) -> None:
        nonlocal reported
        if size - reported >= _REPORT_BYTES:
            reported = size
            report(size)

    limits = DicomwebLimits(max_bytes=2 * max_bytes + _GIB // 4, instances=_MAX_FILES)
    try:
        with DicomwebServer(
            order["url"], authorization=order["authorization"], ca_file=order["ca_file"], limits=limits
        ) as server:
            server.download(order["study"], order["series"], folder, on_file=on_file)
    except SixpointError as error:
        return {"error": error.message, "kind": type(error).__name__}
    except (MemoryError, OSError):
        return {"error": f"{_NAME} is too large for this gateway (SIXPOINT_MAX_IMAGE_BYTES), or its disk is full"}
    if not order["voxels"]:
        return {}
    return read_image(folder, Path(order["voxels"]), max_bytes, name=_NAME)


def _write_line(content: object) -> None:
    sys.stdout.write(json.dumps(content) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    task = json.loads(sys.stdin.readline())
    _write_line(main(task, int(sys.argv[1]), lambda size: _write_line({"received": size})))
