"""Logins of MONAI Label's clients: the password is the token."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from gateway.authentication.token_editing import NewEntry, add_entry, new_token, token_digest
from gateway.authentication.token_file import EntryKind
from gateway.core.access import Role
from gateway.triton.local.server import LocalTriton
from tests.gateway.http.sites import HttpSite
from tests.support.servers import running_gateway


@dataclass
class Place:
    """A gateway that asks for tokens."""

    site: HttpSite
    token: str
    path_token: str


@pytest.fixture(scope="module")
def place(triton: LocalTriton, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    path, tokens = tmp_path_factory.mktemp("tokens") / "tokens.toml", []
    for kind in (EntryKind.HEADER, EntryKind.PATH):
        tokens.append(new_token())
        entry = NewEntry(kind.value, kind, "alice", "clinic-a", Role.ENGINEER, None)
        add_entry(path, entry, key=token_digest(tokens[-1]))
    with running_gateway(
        triton_url=triton.address, http_port=0, auth="tokens", tokens_file=path, path_tokens=True
    ) as gateway:
        yield Place(HttpSite.of(gateway), *tokens)


def test_a_token_is_a_password(place: Place) -> None:
    site = place.site
    assert site.get("/auth/").json() == {"enabled": True, "client_id": "sixpoint", "realm": ""}
    assert site.get("/info/").status_code == 401
    login = {"username": "whoever", "password": place.token, "grant_type": "password"}
    answer = site.request("POST", "/auth/token", data=login)
    assert answer.json() == {"access_token": place.token, "token_type": "Bearer"}
    assert "no-store" in answer.headers["cache-control"]
    headers = {"authorization": "Bearer " + answer.json()["access_token"]}
    who = site.get("/auth/token/valid", headers=headers).json()
    assert (who["username"], who["roles"]) == (
        "alice",
        ["monailabel-user", "monailabel-annotator", "monailabel-reviewer"],
    )
    assert site.get("/info/", headers=headers).status_code == 200
    # Who has a token in the address is not asked for another one.
    root = HttpSite(site.url.replace("/monailabel", f"/t/{place.path_token}/monailabel"))
    assert not root.get("/auth/").json()["enabled"]
    assert root.get("/info/").status_code == 200


@pytest.mark.parametrize(
    ("form", "code", "words"),
    [
        ({"username": "a", "password": "wrong"}, 401, "token"),
        ({"username": "a", "password": "a b\r\nc"}, 401, "token"),
        ({"username": "a", "password": "x" * 20_000}, 401, "token"),
        ({"username": "a"}, 400, "type your token"),
        ({}, 400, "type your token"),
        ({str(number): "" for number in range(100)}, 400, "too many fields"),
        ({"password": ["a", "b"]}, 400, "twice"),
        ({"password": "x" * 300_000}, 413, "too large"),
    ],
)
def test_what_is_no_token_is_refused(place: Place, form: dict[str, object], code: int, words: str) -> None:
    answer = place.site.request("POST", "/auth/token", data=form)
    assert (answer.status_code, words in answer.text) == (code, True), (answer.status_code, answer.text)
    assert "access_token" not in answer.text


def test_only_tokens_for_headers_are_given(place: Place) -> None:
    answer = place.site.request("POST", "/auth/token", data={"password": place.path_token})
    assert answer.status_code == 401
    forged = {"sixpoint-owner": "alice", "authorization": f"Bearer {place.token}"}
    assert place.site.request("POST", "/auth/token", data={"password": "x"}, headers=forged).status_code == 401


def test_nobody_logs_in_where_nobody_is_asked(site: HttpSite) -> None:
    assert not site.get("/auth/").json()["enabled"]
    assert site.request("POST", "/auth/token", data={"username": "a", "password": "b"}).status_code == 404
    assert site.get("/auth/token/valid").json()["roles"][-1] == "monailabel-admin"
