"""The comparison, with a stand-in that answers as MONAI Label does: the real one lives in another environment."""

import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pytest

from benchmarks.images.examples import Example
from benchmarks.peer.comparison import compare, figures
from benchmarks.peer.monai_label import MonaiLabel
from gateway.triton.local.server import LocalTriton
from sixpoint.errors import InternalError, Unavailable
from sixpoint.volume import Volume, write_image
from tests.support.ports import free_port


@dataclass
class StandIn:
    """What the stand-in holds and was asked."""

    folder: Path
    url: str = ""
    image: Path | None = None
    requests: list[dict[str, object]] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    fail_from: int = 10**9

    def answer(self, params: dict[str, object]) -> bytes:
        """As MONAI Label writes it: facts, then a file whose label is 1 in the points' box."""
        self.requests.append(params)
        assert self.image is not None
        volume = Volume.read(self.image)
        mask = np.zeros(volume.array.shape, np.uint8)
        points = np.array(params["foreground"])
        (x0, y0, z0), (x1, y1, z1) = points.min(axis=0), points.max(axis=0) + 1
        mask[z0:z1, y0:y1, x0:x1] = 1
        path = self.folder / f"{threading.get_ident()}.nrrd"
        write_image(mask, volume.geometry, path)
        facts = json.dumps(
            {"label_names": {"object": 1}, "latencies": {"infer": 0.001, "total": 0.002, "transform": {}}}
        )
        return b"\r\n".join(
            [
                b"--0123abcd",
                b'Content-Disposition: form-data; name="params"',
                b"Content-Type: application/json",
                b"",
                facts.encode(),
                b"--0123abcd",
                b'Content-Disposition: form-data; name="image"; filename="tmp1.nrrd"',
                b"Content-Type: application/octet-stream",
                b"",
                path.read_bytes(),
                b"--0123abcd--\r\n",
            ]
        )


@pytest.fixture
def stand_in(tmp_path: Path) -> Iterator[StandIn]:
    state = StandIn(tmp_path)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _reply(self, body: bytes, kind: str = "application/json", status: int = 200) -> None:
            state.paths.append(f"{self.command} {urlsplit(self.path).path}")
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def _part(self) -> bytes:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            boundary = self.headers["Content-Type"].partition("boundary=")[2].encode()
            return body.partition(b"\r\n\r\n")[2].rpartition(b"\r\n--" + boundary)[0]

        def do_GET(self) -> None:
            self._reply(b'{"models": {"annotation": {"type": "deepgrow"}}}')

        def do_PUT(self) -> None:
            state.image = state.folder / "image.nii"
            state.image.write_bytes(self._part())
            self._reply(b'{"session_id": "one"}')

        def do_POST(self) -> None:
            params = json.loads(self._part())
            assert parse_qs(urlsplit(self.path).query) == {"session_id": ["one"]}
            if len(state.requests) >= state.fail_from:
                self._reply(b"Internal Server Error", "text/plain", 500)
            else:
                self._reply(state.answer(params), "multipart/form-data; boundary=0123abcd")

        def do_DELETE(self) -> None:
            self._reply(b"{}")

        def log_message(self, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    state.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield state
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_mask_comes_back_as_it_was_written(stand_in: StandIn, phantom: Example) -> None:
    client = MonaiLabel(stand_in.url)
    assert list(client.models) == ["annotation"]
    session = client.upload(phantom.volume)
    assert stand_in.image is not None
    np.testing.assert_array_equal(Volume.read(stand_in.image).array, phantom.volume.array)
    points = [(10.0, 20.0, 30.0), (12.0, 25.0, 33.0)]
    found = client.infer("annotation", session, foreground=points, background=[(0, 0, 0)])
    assert found.mask.shape == phantom.volume.array.shape
    assert found.mask[30:34, 20:26, 10:13].all()
    assert found.mask.sum() == 4 * 6 * 3
    assert found.latencies == {"infer": 0.001, "total": 0.002}
    asked = stand_in.requests[0]
    assert asked["foreground"] == [[10, 20, 30], [12, 25, 33]]
    assert asked["background"] == [[0, 0, 0]]
    assert asked["result_extension"] == ".nrrd"


def test_a_server_that_fails_or_is_away_is_an_error(stand_in: StandIn, phantom: Example) -> None:
    client = MonaiLabel(stand_in.url)
    session = client.upload(phantom.volume)
    stand_in.fail_from = 0
    with pytest.raises(InternalError, match="status 500"):
        client.infer("annotation", session, foreground=[(1, 1, 1)], background=[])
    with pytest.raises(Unavailable, match="no MONAI Label server answers"):
        MonaiLabel(f"http://127.0.0.1:{free_port()}")


def test_both_are_asked_the_same(stand_in: StandIn, address: str, triton: LocalTriton, phantom: Example) -> None:
    found = compare(
        phantom,
        1,
        server=address,
        triton=triton.address,
        peer=stand_in.url,
        model="clicks",
        users=(1, 2),
        corrections=2,
        seconds=0.05,
    )
    assert found.sixpoint.failed == found.monai_label.failed == 0
    assert set(found.sixpoint.per_second) == set(found.monai_label.per_second) == {1, 2}
    assert found.monai_label.network_p50 == 0.001
    assert found.sixpoint.correction_p50 > found.sixpoint.network_p50 > 0
    assert found.sixpoint.mib_after is not None
    assert found.sixpoint.mib_after > 10
    assert stand_in.paths[-1] == "DELETE /session/one"
    # The first object: begun, then clicked on by turns on it and off it.
    counts = [(len(one["foreground"]), len(one["background"])) for one in stand_in.requests[:4]]  # type: ignore[arg-type]
    assert counts == [(6, 0), (7, 0), (7, 1), (8, 1)]
    assert all(one.value > 0 for one in figures(found) if one.maximum != 0)


def test_failures_among_many_are_counted(
    stand_in: StandIn, address: str, triton: LocalTriton, phantom: Example
) -> None:
    stand_in.fail_from = 8
    found = compare(
        phantom,
        1,
        server=address,
        triton=triton.address,
        peer=stand_in.url,
        model="clicks",
        users=(1,),
        corrections=1,
        seconds=2.0,
    )
    assert found.sixpoint.failed == 0
    assert found.monai_label.failed > 0
