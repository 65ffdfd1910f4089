"""HTTP under load: the event loop stays free, calls that meet do not harm each other, and nothing is told of people."""

from __future__ import annotations

import io
import json
import logging
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import numpy as np
import pytest

from gateway.observability.logs import JsonFormatter
from gateway.server import Gateway
from gateway.triton.local.server import LocalTriton
from sixpoint.geometry import Geometry
from sixpoint.volume import Volume
from tests.gateway.http.monai_label.test_masks import ADDED, SIX
from tests.gateway.http.sites import HttpSite, read_mask, split_form
from tests.support.event_loop import StallWatch
from tests.support.images import noisy_volume
from tests.support.servers import running_gateway

pytestmark = [pytest.mark.triton, pytest.mark.slow]

LIMIT_S = 0.05
SIZE = (384, 384, 160)
NAME = "Mustermann Erika 1950-01-01"


@pytest.fixture(scope="module")
def watch() -> StallWatch:
    return StallWatch()


@pytest.fixture(scope="module")
def watched(triton: LocalTriton, watch: StallWatch) -> Iterator[Gateway]:
    with running_gateway(triton_url=triton.address, watch=watch, http_port=0) as gateway:
        yield gateway


def test_large_images_and_masks_leave_the_event_loop_free(watched: Gateway, watch: StallWatch, tmp_path: Path) -> None:
    values = np.random.default_rng(0).normal(100, 20, SIZE[::-1]).astype(np.int16)
    Volume(values, Geometry(SIZE)).write(tmp_path / "large.nrrd")
    site = HttpSite.of(watched)
    points = [[20, 190, 80], [360, 190, 80], [190, 20, 80], [190, 360, 80], [190, 190, 5], [190, 190, 150]]

    def work() -> None:
        session = site.open_session(tmp_path / "large.nrrd")
        params = {"foreground": points, "background": [], "result_extension": ".nrrd"}
        answer = site.infer("annotation", params, session_id=session)
        assert answer.status_code == 200
        assert len(site.get(f"/session/{session}?image=true").content) > values.nbytes

    assert watch.largest_stall(work, limit=LIMIT_S) < LIMIT_S


def test_parameters_as_large_as_may_be_leave_it_free(watched: Gateway, watch: StallWatch) -> None:
    site = HttpSite.of(watched)
    text = json.dumps({"foreground": [[1, 2, 3]] * 21_000})

    def work() -> None:
        assert site.request("POST", "/infer/annotation", files={"params": (None, text)}).status_code == 400

    assert watch.largest_stall(work, limit=LIMIT_S) < LIMIT_S


def test_calls_of_one_window_that_meet_are_each_answered_for_their_points(watched: Gateway, tmp_path: Path) -> None:
    image = noisy_volume()
    image.write(tmp_path / "a.nrrd")
    site = HttpSite.of(watched)
    session = site.open_session(tmp_path / "a.nrrd")

    def voxels(count: int) -> int:
        params = {"foreground": [*SIX, ADDED][:count], "background": [], "result_extension": ".nrrd"}
        _, content = split_form(site.infer("annotation", params, session_id=session))
        return int(read_mask(content, tmp_path / f"{threading.get_ident()}.nrrd", image).sum())

    alone = {count: voxels(count) for count in (6, 7)}
    counts = [6, 7] * 4
    with ThreadPoolExecutor(3) as threads:
        assert list(threads.map(voxels, counts)) == [alone[count] for count in counts]


def test_a_call_ends_with_its_client(watched: Gateway) -> None:
    folder = watched._settings.cache_folder / "http"
    with socket.create_connection(("127.0.0.1", watched.http_ports["http"])) as client:
        client.sendall(
            b"PUT /monailabel/session/ HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000\r\n"
            b"Content-Type: multipart/form-data; boundary=b\r\n\r\n"
            b'--b\r\nContent-Disposition: form-data; name="files"; filename="a.nrrd"\r\n\r\nNRRD'
        )
        end = time.monotonic() + 20
        while not list(folder.iterdir()) and time.monotonic() < end:
            time.sleep(0.01)
        assert list(folder.iterdir())
    while list(folder.iterdir()) and time.monotonic() < end:
        time.sleep(0.01)
    assert not list(folder.iterdir())


def test_names_of_files_images_and_labels_are_not_told(watched: Gateway, tmp_path: Path) -> None:
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonFormatter())
    root = logging.getLogger()
    before = root.level
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    try:
        site = HttpSite.of(watched)
        noisy_volume().write(tmp_path / f"{NAME}.nrrd")
        session = site.open_session(tmp_path / f"{NAME}.nrrd")
        params = {"label": NAME, "foreground": SIX, "background": []}
        assert site.infer("annotation", params, session_id=session).status_code == 200
        for path in (f"/datastore/image?image={NAME}", f"/session/{NAME}", f"/{NAME}"):
            assert NAME not in site.get(path).text
        assert NAME not in site.infer(NAME, params, session_id=session).text.replace(f"no model is called '{NAME}'", "")
    finally:
        root.removeHandler(handler)
        root.setLevel(before)
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    calls = [line for line in lines if line["message"] == "call" and "/monailabel/" in line.get("method", "")]
    assert {"PUT /monailabel/session/", "POST /monailabel/infer/{model}"} <= {line["method"] for line in calls}
    for part in NAME.split():
        assert part not in stream.getvalue()
    assert session not in stream.getvalue()


def _ask_slowly(gateway: Gateway, file: Path) -> tuple[str, dict[str, str]]:
    """URL and form of a call that takes three seconds in Triton."""
    noisy_volume().write(file)
    site = HttpSite.of(gateway)
    session = site.open_session(file)
    return f"{site.url}/infer/slow?session_id={session}", {"params": json.dumps({"foreground": SIX})}


def _wait_for_call(gateway: Gateway) -> None:
    end = time.monotonic() + 20
    while not gateway._admission.used and time.monotonic() < end:
        time.sleep(0.01)
    # In Triton by now.
    time.sleep(0.5)


def test_a_gateway_that_stops_answers_the_calls_that_run(triton: LocalTriton, tmp_path: Path) -> None:
    with ThreadPoolExecutor(1) as thread:
        with running_gateway(triton_url=triton.address, http_port=0, drain_seconds=30.0) as gateway:
            url, fields = _ask_slowly(gateway, tmp_path / "a.nrrd")
            files = {name: (None, text) for name, text in fields.items()}
            asked = thread.submit(httpx.post, url, files=files, timeout=30, trust_env=False)
            _wait_for_call(gateway)
            began = time.monotonic()
        assert asked.result().status_code == 200
        assert time.monotonic() - began < 15


def test_inference_ends_with_its_client(watched: Gateway, tmp_path: Path, cancelled_mark: Path) -> None:
    cancelled_mark.unlink(missing_ok=True)
    url, fields = _ask_slowly(watched, tmp_path / "a.nrrd")
    request = httpx.Request("POST", url, files={name: (None, text) for name, text in fields.items()})
    head = "".join(f"{name}: {value}\r\n" for name, value in request.headers.items())
    with socket.create_connection(("127.0.0.1", watched.http_ports["http"])) as client:
        path = request.url.raw_path.decode()
        client.sendall(f"POST {path} HTTP/1.1\r\n{head}\r\n".encode() + request.read())
        _wait_for_call(watched)
    end = time.monotonic() + 20
    while not cancelled_mark.exists() and time.monotonic() < end:
        time.sleep(0.05)
    assert cancelled_mark.exists()
