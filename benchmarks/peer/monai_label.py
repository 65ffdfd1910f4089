"""Client of MONAI Label's REST interface, as 3D Slicer's plug-in uses it, but as fast as possible.

It differs from the plug-in in MONAI Label's favour: it keeps the connection, does not call ``/auth/`` before every
request, and sends and stores the image uncompressed.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy.typing as npt
import SimpleITK as sitk
import urllib3

from sixpoint.errors import InternalError, Unavailable
from sixpoint.prompts import Point
from sixpoint.volume import Volume, write_image

__all__ = ["MonaiLabel", "PeerAnswer"]

_SECONDS = 600.0
_BLANK_LINE = b"\r\n\r\n"


@dataclass(frozen=True, eq=False)
class PeerAnswer:
    """Answer of MONAI Label.

    Attributes:
        mask: Mask on the image's grid, [z, y, x].
        latencies: Seconds by phase, as the server reports them: pre, infer, invert, post, write, total.
    """

    mask: npt.NDArray[Any]
    latencies: dict[str, float]


class MonaiLabel:
    """Connection to a MONAI Label server, for use by one thread.

    Args:
        url: URL of the server, e.g. ``http://127.0.0.1:8123``.

    Raises:
        Unavailable: No server answers at the URL.
    """

    def __init__(self, url: str) -> None:
        self._url = url.rstrip("/")
        self._pool = urllib3.PoolManager(timeout=_SECONDS, retries=False)
        self.models: dict[str, Any] = self._request("GET", "/info/").json()["models"]

    def upload(self, volume: Volume) -> str:
        """Upload an image; return the id of a session on it."""
        with tempfile.TemporaryDirectory(prefix="sixpoint-") as folder:
            path = Path(folder) / "image.nii"
            write_image(volume.array, volume.geometry, path)
            fields = {"files": (path.name, path.read_bytes())}
            return str(self._request("PUT", "/session/", fields=fields).json()["session_id"])

    def infer(
        self, model: str, session: str, *, foreground: Sequence[Point], background: Sequence[Point]
    ) -> PeerAnswer:
        """Request the mask of points, voxel indices (x, y, z), as raw NRRD.

        Raises:
            InternalError: The server fails.
        """
        parameters = {
            "foreground": [list(map(int, point)) for point in foreground],
            "background": [list(map(int, point)) for point in background],
            "result_extension": ".nrrd",
            "result_dtype": "uint8",
            "result_compress": False,
        }
        reply = self._request("POST", f"/infer/{model}?session_id={session}", fields={"params": json.dumps(parameters)})
        facts, image = _parts(reply)
        with tempfile.NamedTemporaryFile(prefix="sixpoint-", suffix=".nrrd") as file:
            file.write(image)
            file.flush()
            mask = sitk.GetArrayFromImage(sitk.ReadImage(file.name))
        latencies = json.loads(bytes(facts))["latencies"]
        return PeerAnswer(mask, {key: value for key, value in latencies.items() if isinstance(value, int | float)})

    def close_session(self, session: str) -> None:
        """Remove a session and its image from the server."""
        self._request("DELETE", f"/session/{session}")

    def _request(self, method: str, path: str, *, fields: dict[str, Any] | None = None) -> urllib3.BaseHTTPResponse:
        try:
            reply = self._pool.request(method, self._url + path, fields=fields)
        except urllib3.exceptions.HTTPError as error:
            raise Unavailable(
                f"no MONAI Label server answers at {self._url}; benchmarks/README.md says how to start one"
            ) from error
        if reply.status != 200:
            raise InternalError(f"MONAI Label answered {method} with status {reply.status}; its log says why")
        return reply


def _parts(reply: urllib3.BaseHTTPResponse) -> tuple[memoryview, memoryview]:
    """Split a multipart answer without copying it: metadata as JSON, then the image."""
    body, boundary = reply.data, reply.headers["content-type"].rpartition("boundary=")[2].encode()
    facts = body.index(_BLANK_LINE) + len(_BLANK_LINE)
    end = body.index(boundary, facts)
    image = body.index(_BLANK_LINE, end) + len(_BLANK_LINE)
    view, separator = memoryview(body), len(b"\r\n--")
    return view[facts : end - separator], view[image : body.rindex(boundary) - separator]
