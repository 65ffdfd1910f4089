"""A gateway with an HTTP port, and what tests of its doors send."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import httpx
import numpy as np
import SimpleITK as sitk

from gateway.server import Gateway
from sixpoint._typing import Array
from sixpoint.volume import Volume

__all__ = ["HttpSite", "read_mask", "split_form"]


@dataclass(frozen=True)
class HttpSite:
    """The HTTP port of a gateway.

    Attributes:
        url: Address, without the last slash.
    """

    url: str

    @classmethod
    def of(cls, gateway: Gateway, prefix: str = "/monailabel") -> HttpSite:
        return cls(f"http://127.0.0.1:{gateway.http_ports['http']}{prefix}")

    def request(self, method: str, path: str, **options: object) -> httpx.Response:
        with httpx.Client(trust_env=False, timeout=60) as client:
            return client.request(method, f"{self.url}{path}", **options)  # type: ignore[arg-type]

    def get(self, path: str, **options: object) -> httpx.Response:
        return self.request("GET", path, **options)

    def open_session(self, file: Path) -> str:
        """Send an image as 3D Slicer does; returns the id of the session."""
        answer = self.request("PUT", "/session/", files={"files": (file.name, file.read_bytes())})
        assert answer.status_code == 200, answer.text
        return str(answer.json()["session_id"])

    def infer(
        self, model: str, params: Mapping[str, object], *, session_id: str = "", query: str = ""
    ) -> httpx.Response:
        """Ask for a mask as 3D Slicer does."""
        path = f"/infer/{model}?image=&session_id={session_id}{query}"
        return self.request("POST", path, files={"params": (None, json.dumps(dict(params)))})


def split_form(answer: httpx.Response) -> tuple[dict[str, object], bytes]:
    """Parameters and file of an answer, split by strings as MITK does."""
    assert answer.status_code == 200, answer.text
    boundary = answer.headers["content-type"].rpartition("boundary=")[2]
    _, params, file, end = answer.content.split(f"--{boundary}".encode())
    assert end == b"--\r\n"
    head, _, content = params.partition(b"Content-Type: application/json\r\n\r\n")
    assert b'name="params"' in head
    head, _, voxels = file.partition(b"Content-Type: application/octet-stream\r\n\r\n")
    assert b"filename=" in head
    return json.loads(content), voxels.removesuffix(b"\r\n")


def read_mask(content: bytes, path: Path, image: Volume) -> Array:
    """Read a label map with ITK; it must lie on the image's grid."""
    path.write_bytes(content)
    mask = sitk.ReadImage(str(path))
    assert mask.GetSize() == image.geometry.size
    for ours, theirs in (("spacing", "Spacing"), ("origin", "Origin"), ("direction", "Direction")):
        assert np.allclose(getattr(image.geometry, ours), getattr(mask, f"Get{theirs}")(), atol=1e-6)
    array: Array = sitk.GetArrayFromImage(mask)
    return array
