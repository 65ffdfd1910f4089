"""What holds for every route of every door: slow and large bodies end, and pages of other sites get nothing."""

from __future__ import annotations

import contextlib
import re
import socket
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, cast
from unittest.mock import MagicMock

import pytest

from gateway.edges.doors import make_doors
from gateway.http.app import http_app
from gateway.http.rest import api_document
from gateway.server import Gateway
from gateway.settings import Settings
from gateway.triton.local.server import LocalTriton
from tests.gateway.http.sites import HttpSite
from tests.support.servers import running_gateway

PAGE, EVIL = "https://viewer.example", "https://evil.example"
_PARAMETERS = {"port": "80", "model": "clicks", "name": "clicks", "strategy": "random", "segment": "1"}
_PARAMETERS |= dict.fromkeys(("digest", "image_digest"), "0" * 64)
FORM = "multipart/form-data; boundary=b"


def fill(path: str) -> str:
    """An address, with something in the place of each parameter."""
    return re.sub(r"{(\w+)(?::\w+)?}", lambda match: _PARAMETERS.get(match[1], "x"), path)


def routes() -> list[tuple[str, str, str]]:
    """Door, method and address of each route of the application, once: those of doors, their pages, and all others."""
    settings, mock = Settings(state_folder=Path("x"), ohif_folder=Path("x")), cast("Any", MagicMock())
    doors = make_doors(settings, mock, cast("Any", None), authenticator=mock)
    runner = MagicMock()
    # One for each route: its spellings share it.
    runner.endpoint.side_effect = lambda *_: MagicMock()
    app: Any = http_app(
        doors,
        runner=runner,
        authenticator=mock,
        auditor=mock,
        origins=[],
        catalog=mock,
        deadlines=mock,
        transfers=mock,
    )
    listed = dict[int, tuple[str, str, str]]()
    for route in app._application._app.routes:
        method = next(iter(route.methods - {"HEAD"} or route.methods))
        door = next((door.name for door in doors if route.path.startswith(f"/{door.name}")), "")
        listed.setdefault(id(route.app), (door, method, fill(route.path)))
    return list(listed.values())


ROUTES = routes()
WITH_BODY = [route for route in ROUTES if route[1] in ("POST", "PUT", "PATCH")]
NO_ROUTES = [("", "POST", "/nothing"), ("", "PUT", "/aiaa/docs/"), ("", "POST", "/t/x/aiaa/v1/deepgrow")]
# They are read before anything is looked up.
JSON_BODIES = {
    f"{method.upper()} /api/v1{fill(path)}"
    for path, operations in api_document()["paths"].items()
    for method, operation in operations.items()
    if "application/json" in operation.get("requestBody", {}).get("content", {})
}
# OHIF's files, and the routes of DICOMweb without a server, take no body.
READERS = {door for door, _, _ in WITH_BODY}


pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def strict(triton: LocalTriton, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    folder = tmp_path_factory.mktemp("ohif")
    (folder / "index.html").write_text("<html><head></head></html>")
    with running_gateway(
        triton_url=triton.address,
        http_port=0,
        upload_idle_seconds=1.0,
        max_image_bytes=2**20,
        http_origins=PAGE,
        ohif_folder=folder,
        max_streams=256,
    ) as gateway:
        yield gateway


def trickle(port: int, method: str, path: str, *, length: int, content_type: str = FORM) -> tuple[int, bytes]:
    """Begin a body, and go on byte by byte until an answer comes; returns its code and all of it.

    Raises:
        TimeoutError: None comes, or the connection stays open behind it.
    """
    head = f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: {content_type}\r\nContent-Length: {length}"
    answer = b""
    with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
        connection.sendall(f"{head}\r\n\r\n--b\r\n".encode())
        connection.settimeout(0.2)
        until = time.monotonic() + 60
        while time.monotonic() < until:
            with contextlib.suppress(TimeoutError, ConnectionResetError):
                received = connection.recv(2**16)
                if not received:
                    return int(answer.split()[1]) if answer else 0, answer
                answer += received
                continue
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                connection.sendall(b"x")
    raise TimeoutError(f"{method} {path} is not answered: {answer[:100]!r}")


def with_session(strict: Gateway, path: str) -> str:
    """The address with an id of ITK-SNAP's in it, which stands for no image yet."""
    if not path.startswith("/itksnap"):
        return path
    session = HttpSite.of(strict, "/itksnap").get("/v2/start_session/clicks").json()["session_id"]
    return f"{path.rpartition('/')[0]}/{session}"


def test_a_body_that_trickles_ends_at_every_door(strict: Gateway) -> None:
    port, seen, slow = strict.http_ports["http"], Counter[tuple[str, int]](), set[str]()

    def send(route: tuple[str, str, str]) -> tuple[str, str, int]:
        door, method, path = route[0], route[1], with_session(strict, route[2])
        # A form ends at once where JSON is expected, and the other way round.
        codes = [
            trickle(port, method, path, length=50_000, content_type=kind)[0] for kind in (FORM, "application/json")
        ]
        return door, f"{method} {path}", 408 if 408 in codes else codes[0]

    with ThreadPoolExecutor(40) as pool:
        for door, route, code in pool.map(send, [*WITH_BODY, *NO_ROUTES]):
            # Some read no body; all close the connection.
            assert code == 200 or 400 <= code < 500, (route, code)
            seen[door, code] += 1
            slow |= {route} if code == 408 else set()
    assert slow >= JSON_BODIES, JSON_BODIES - slow
    assert {door for door, code in seen if code == 408} == READERS, seen
    for method in ("GET", "DELETE"):
        assert trickle(port, method, "/aiaa/docs/", length=50_000)[0] == (200 if method == "GET" else 405)


def test_a_body_that_is_too_large_is_refused_before_it_comes(strict: Gateway) -> None:
    port = strict.http_ports["http"]

    def send(route: tuple[str, str, str]) -> str:
        door, method, path = route[0], route[1], with_session(strict, route[2])
        code, answer = trickle(port, method, path, length=10**13)
        assert code == 200 or 400 <= code < 500, (method, path, code)
        return door if code == 413 and b"at most" in answer else ""

    with ThreadPoolExecutor(40) as pool:
        assert set(pool.map(send, WITH_BODY)) == READERS | {""}


def test_pages_of_other_sites_may_use_no_route(strict: Gateway) -> None:
    site = HttpSite.of(strict, "")
    for _, method, path in ROUTES:
        asked = {"access-control-request-method": method, "access-control-request-headers": "authorization"}
        for origin in (PAGE, EVIL):
            preflight = site.request("OPTIONS", path, headers={"origin": origin, **asked})
            allowed = preflight.headers.get("access-control-allow-origin")
            assert allowed == (PAGE if origin == PAGE else None), (method, path)
            assert "access-control-allow-credentials" not in preflight.headers
        answer = site.request(method, path, headers={"origin": EVIL})
        assert answer.status_code == 403, (method, path, answer.text)
        assert "access-control-allow-origin" not in answer.headers


def test_no_answer_is_a_page_that_runs_what_somebody_sent(strict: Gateway) -> None:
    site = HttpSite.of(strict, "")
    unknown = [("GET", path) for path in ("/", "/nothing", "/aiaa/<script>", "/t/x/aiaa/", *dict.fromkeys(_pages()))]
    for method, path in [*unknown, ("TRACE", "/aiaa/v1/models"), *((method, path) for _, method, path in ROUTES)]:
        answer = site.request(method, path)
        place = (method, path, answer.status_code)
        assert answer.headers.get("x-content-type-options") == "nosniff", place
        assert "frame-ancestors" in answer.headers.get("content-security-policy", ""), place
        # OHIF asks its own server for images, and says from which page.
        assert answer.headers.get("referrer-policy") in ("no-referrer", "same-origin"), place
        if not path.startswith("/ohif"):
            assert not answer.headers.get("content-type", "").startswith("text/html"), place


def _pages() -> list[str]:
    return [f"/{door}/" for door, _, _ in ROUTES]
