"""The requests that ITK-SNAP makes, as its sources make them; it cannot be scripted.

github.com/pyushkevich/itksnap at b107ab02, GUI/Model/DeepLearningSegmentationModel.cxx: the address is that of
``GetFullURLValue``, the paths are those of ``SetSourceImage``, ``PerformPointInteraction``,
``PerformScribbleOrLassoInteraction`` and ``ResetInteractions``, the form is that of ``EncodeImage``, and the mask is
read as ``UpdateSegmentation`` does. Any other code than 200 is an error, whose body is shown (``GetErrorString`` in
Logic/WorkspaceAPI/RESTClient.cxx).
"""

from __future__ import annotations

import base64
import gzip
import json
import zlib
from dataclasses import dataclass, field

import httpx
import numpy as np

from sixpoint._typing import Array
from sixpoint.volume import Volume

__all__ = ["SnapClient", "SnapError", "encode_image", "full_url"]


class SnapError(Exception):
    """What ITK-SNAP shows.

    Args:
        code: HTTP's status code.
        text: The body of the answer.
    """

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code


def full_url(host: str, port: int) -> str:
    """The address that ITK-SNAP makes of the fields of its dialog."""
    return f"{'https' if port == 443 else 'http'}://{host}:{port}"


def encode_image(image: Volume, **metadata: object) -> dict[str, tuple[str | None, bytes, str]]:
    """The form that holds an image."""
    geometry = image.geometry
    root = {
        "components_per_pixel": 1,
        "component_type": "float32",
        "dimensions": list(geometry.size),
        "spacing": list(geometry.spacing),
        "origin": list(geometry.origin),
        "direction": list(geometry.direction),
    } | metadata
    voxels = gzip.compress(image.array.astype("<f4").tobytes(), 6, mtime=0)
    return {
        "file": ("image.gz", voxels, "application/gzip"),
        "metadata": (
            None,
            json.dumps({key: value for key, value in root.items() if value is not None}).encode(),
            "application/json",
        ),
    }


@dataclass
class SnapClient:
    """ITK-SNAP, with a server.

    Attributes:
        url: Address of the server.
        session: Id of the session; empty before the first image.
        model: Model of the session.
        size: Voxels of the image along (x, y, z).
    """

    url: str
    session: str = ""
    model: str = ""
    size: tuple[int, int, int] = field(default=(0, 0, 0))

    def connect(self) -> dict[str, list[str]]:
        """Check the version; return the interactions of each model."""
        version = str(self._json("GET", "status")["version"])
        assert [int(part) for part in version.split(".")] >= [0, 1, 2]
        models = self._json("GET", "v2/models")["models"]
        assert isinstance(models, list)
        assert all((model["dimensions"], 1 in model["channels"]) == (3, True) for model in models)
        return {model["id"]: model["interactions"] for model in models}

    def show(self, image: Volume, *, model: str = "annotation") -> None:
        """Send an image, in a session with a model."""
        if self.session and self.model != model:
            self._send("GET", f"v2/end_session/{self.session}")
            self.session = ""
        self.model = model
        if not self.session:
            self.session = str(self._json("GET", f"v2/start_session/{model}")["session_id"])
        self._send("POST", f"upload_raw/{self.session}?filename=upload.nii.gz", files=encode_image(image))
        self.size = image.geometry.size

    def point(self, voxel: tuple[int, int, int], *, foreground: bool = True) -> Array:
        """Set a point; return the mask [z, y, x]."""
        x, y, z = voxel
        query = f"point={x}&point={y}&point={z}&foreground={'true' if foreground else 'false'}"
        return self._mask(self._json("GET", f"v2/process_point_interaction/{self.session}?{query}"))

    def stroke(self, kind: str, drawn: Volume, *, foreground: bool = True) -> Array:
        """Draw a scribble or a lasso; return the mask [z, y, x]."""
        path = f"process_{kind}_interaction/{self.session}?foreground={'true' if foreground else 'false'}"
        return self._mask(self._json("POST", path, files=encode_image(drawn)))

    def reset(self) -> None:
        """Choose another label."""
        self._send("GET", f"reset_interactions/{self.session}")

    def _mask(self, answer: dict[str, object]) -> Array:
        packed = base64.b64decode(str(answer["result"]), validate=True)
        unpacker = zlib.decompressobj(16 + zlib.MAX_WBITS)
        raw = unpacker.decompress(packed)
        # It stops at the end of the first stream, and takes a byte for each voxel without looking at the length.
        assert (unpacker.eof, len(raw)) == (True, int(np.prod(self.size)))
        return np.frombuffer(raw, np.int8).reshape(self.size[::-1])

    def _json(self, method: str, path: str, **options: object) -> dict[str, object]:
        content = json.loads(self._send(method, path, **options).content)
        assert isinstance(content, dict)
        return content

    def _send(self, method: str, path: str, **options: object) -> httpx.Response:
        with httpx.Client(trust_env=False, timeout=120) as client:
            answer = client.request(method, f"{self.url}/{path}", **options)  # type: ignore[arg-type]
        if answer.status_code != 200:
            raise SnapError(answer.status_code, answer.text)
        return answer
