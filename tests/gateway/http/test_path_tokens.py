"""Tokens in the paths of URLs: over real HTTP, with a small application behind them.

The gateway's own doors for viewers will be such applications.
"""

from __future__ import annotations

import asyncio
import io
import logging
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import uvicorn
from fastapi import FastAPI, Request, Response

from gateway.authentication import MethodsAuthenticator, PathTokenMethod, PeerThrottle, ProxyHeaders, TokenFile
from gateway.authentication.token_editing import NewEntry, add_entry, new_token, remove_entry, token_digest
from gateway.authentication.token_file import EntryKind
from gateway.core.access import Role
from gateway.http.path_tokens import PathTokens, principal_in
from gateway.observability.logs import JsonFormatter
from tests.support.ports import free_port


class Site:
    """An HTTP server with an application of the test, and its file of tokens."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "tokens.toml"
        self.token = self.add("viewer", EntryKind.PATH)
        self.header_token = self.add("alice", EntryKind.HEADER)
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"

    def add(self, name: str, kind: EntryKind) -> str:
        token = new_token()
        add_entry(self.path, NewEntry(name, kind, name, "clinic-a", Role.VIEWER, None), key=token_digest(token))
        return token

    def get(self, path: str, **headers: str) -> httpx.Response:
        return httpx.get(f"{self.url}{path}", headers=headers, trust_env=False)

    def application(self) -> PathTokens:
        app = FastAPI()

        @app.get("/studies/{name}", name="study")
        async def study(request: Request, name: str) -> dict[str, object]:
            principal = principal_in(request.scope)
            return {
                "name": name,
                "caller": principal and [principal.subject, principal.tenant, principal.method],
                "link": str(request.url_for("study", name="next")),
            }

        @app.get("/cached")
        async def cached() -> Response:
            return Response("x", headers={"cache-control": "public, max-age=3600", "x-own": "1"})

        file = TokenFile(self.path, interval=0)
        methods = {"path": PathTokenMethod(file)}
        authenticator = MethodsAuthenticator(methods, headers=ProxyHeaders(), throttle=PeerThrottle())  # type: ignore[arg-type]
        return PathTokens(app, authenticator)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    site = Site(tmp_path)
    server = uvicorn.Server(
        uvicorn.Config(site.application(), port=site.port, log_config=None, log_level="trace", access_log=True)
    )
    thread = threading.Thread(target=lambda: asyncio.run(server.serve()), daemon=True)
    thread.start()
    while not server.started:
        thread.join(0.01)
    yield site
    server.should_exit = True
    thread.join(10)


def test_a_path_says_who_calls_and_links_have_the_token(site: Site) -> None:
    answer = site.get(f"/t/{site.token}/studies/one")
    assert answer.json() == {
        "name": "one",
        "caller": ["viewer", "clinic-a", "path"],
        "link": f"{site.url}/t/{site.token}/studies/next",
    }
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert answer.headers["cache-control"] == "private, no-store"
    answer = site.get(f"/t/{site.token}/cached")
    assert answer.headers.get_list("cache-control") == ["private, no-store"]
    assert answer.headers["x-own"] == "1"
    assert site.get(f"/t/{site.token}/nothing").status_code == 404
    assert site.get(f"/t/{site.token}").status_code == 404


def test_other_paths_pass_without_a_principal(site: Site) -> None:
    assert site.get("/studies/one").json()["caller"] is None
    assert "referrer-policy" not in site.get("/studies/one").headers


def test_what_is_no_token_of_this_kind_is_refused(site: Site) -> None:
    for path in ("/t/", "/t", f"/t/{site.header_token}/studies/one", "/t/x/studies/one", "/t//studies/one"):
        answer = site.get(path)
        assert answer.status_code == (404 if path == "/t" else 401), path
        if path != "/t":
            assert "are not valid" in answer.json()["detail"]
            assert answer.headers["cache-control"] == "private, no-store"
            assert site.header_token not in answer.text
    both = site.get(f"/t/{site.token}/studies/one", authorization=f"Bearer {site.header_token}")
    assert (both.status_code, "several kinds" in both.json()["detail"]) == (401, True)


def test_a_revoked_token_is_refused_and_guesses_are_throttled(site: Site) -> None:
    path = f"/t/{site.token}/studies/one"
    assert site.get(path).status_code == 200
    other = site.add("other", EntryKind.PATH)
    remove_entry(site.path, "viewer")
    codes = [site.get(path).status_code for _ in range(12)]
    assert codes[:10] == [401] * 10
    # A busy machine takes long enough for one attempt more to be allowed now and then.
    answer = next(each for each in (site.get(path) for _ in range(100)) if each.status_code == 429)
    assert answer.headers["retry-after"] == "1"
    assert site.get(f"/t/{other}/studies/one").status_code == 200


def test_no_log_has_the_token(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    # The gateway's own HTTP port, which other tests open, turns this log off for the process.
    monkeypatch.setattr(logging.getLogger("uvicorn.access"), "propagate", True)
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonFormatter())
    root = logging.getLogger()
    root.addHandler(handler)
    level = root.level
    root.setLevel(1)
    try:
        site.get(f"/t/{site.token}/studies/one?x=1")
        site.get(f"/t/{site.token}x/studies/one")
        site.get("/t/mistyped-secret/studies/one")
        logging.getLogger("gateway.test").info("got %s", site.token, extra={"url": f"{site.url}/t/{site.token}"})
    finally:
        root.removeHandler(handler)
        root.setLevel(level)
    log = stream.getvalue()
    # uvicorn logs each request with its path, and its trace has the whole scope.
    assert "uvicorn.access" in log
    assert "got sxp_..." in log
    assert "/t/sxp_..." in log
    assert site.token[4:] not in log
    uvicorns = [line for line in log.splitlines() if '"uvicorn' in line]
    assert not [line for line in uvicorns if "mistyped-secret" in line]
