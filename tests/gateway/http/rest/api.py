"""What tests of the API send, and how they read what comes back."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import httpx

from sixpoint._typing import Counts
from sixpoint.mask import PackedMask, unpack
from sixpoint.v1 import volume_pb2 as volume_pb
from sixpoint.volume import Volume, voxel_type_number
from tests.gateway.http.rest.answers import check_answer, check_request
from tests.gateway.http.sites import HttpSite
from tests.gateway.prompts import POINTS

__all__ = ["PROBLEM", "SIX", "Api", "click", "image_header", "read_box", "six_points", "upload"]

PROBLEM = "application/problem+json"
SIX: list[list[int]] = POINTS.astype(int).tolist()


class Api(HttpSite):
    """The API of a gateway: its answers have to be as its document says, and so has what it accepts."""

    def request(self, method: str, path: str, **options: object) -> httpx.Response:
        answer = super().request(method, path, **options)
        check_answer(method, path, answer)
        if answer.is_success:
            check_request(method, path, options)
        return answer

    def json(self, method: str, path: str, body: object = None, *, status: int = 200, **options: Any) -> Any:
        """Send JSON; returns the answer's."""
        answer = self.request(method, path, **({"json": body} if body is not None else {}), **options)
        assert answer.status_code == status, answer.text
        assert answer.headers["cache-control"] == "no-store"
        return answer.json() if answer.content else None

    def problem(self, method: str, path: str, body: object = None, *, status: int, **options: Any) -> Any:
        """Send JSON; returns the problem that comes back."""
        answer = self.request(method, path, **({"json": body} if body is not None else {}), **options)
        assert (answer.status_code, answer.headers["content-type"]) == (status, PROBLEM), answer.text
        assert answer.json()["status"] == status
        return answer.json()

    def open(self, image: Volume, model: str = "annotation") -> str:
        """Open a session; returns its id."""
        return str(self.json("POST", "/sessions", {"image_digest": image.digest, "model": model}, status=201)["id"])


def upload(api: Api, path: Path) -> Any:
    """Upload a file as curl does."""
    kind = path.name.partition(".")[2]
    answer = api.request("POST", f"/images?format={kind}", content=path.read_bytes())
    assert answer.status_code == 201, answer.text
    return answer.json()


def image_header(volume: Volume) -> str:
    """The header Sixpoint-Image of an upload of voxels."""
    geometry = volume.geometry
    number = voxel_type_number(volume.array.dtype)
    content = {
        "geometry": {
            "size": geometry.size,
            "spacing": geometry.spacing,
            "origin": geometry.origin,
            "direction": geometry.direction,
        },
        "voxel_type": volume_pb.VoxelType.Name(number),  # type: ignore[arg-type]  # a number that there is
    }
    return json.dumps(content)


def six_points(points: Iterable[Sequence[object]] = SIX) -> dict[str, Any]:
    return {"extreme_points": {"frame": "FRAME_VOXEL", "points": [_point(point) for point in points]}}


def click(point: Sequence[object], *, positive: bool = True) -> dict[str, Any]:
    sign = "CLICK_SIGN_POSITIVE" if positive else "CLICK_SIGN_NEGATIVE"
    return {"click": {"frame": "FRAME_VOXEL", "point": _point(point), "sign": sign}}


def _point(point: Sequence[object]) -> dict[str, object]:
    x, y, z = point
    return {"x": x, "y": y, "z": z}


def read_box(answer: httpx.Response, image: Volume) -> Counts:
    """Unpack a mask that came as bytes, as the documentation says."""
    assert answer.status_code == 200, answer.text
    x0, y0, z0, x1, y1, z1 = (int(number) for number in answer.headers["sixpoint-box"].split(","))
    packed = PackedMask(
        lower=(x0, y0, z0),
        upper=(x1, y1, z1),
        bits=answer.content,
        sha256=bytes.fromhex(answer.headers["sixpoint-sha256"]),
        voxel_count=int(answer.headers["sixpoint-voxel-count"]),
    )
    return unpack(packed, image.geometry.size)
